"""`keras_pvt.batch` on Ray: the same results, and kill -9 of the driver, a worker, a node."""

import collections
import contextlib
import json
import logging
import os
import pathlib
import signal
import subprocess
import sys
import time

import batch_worker
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from keras_pvt.batch import Job, on_ray

ray = pytest.importorskip("ray", reason="Ray is of the extra batch")

pytestmark = [
    pytest.mark.one_backend("starts Ray, and no Keras"),
    # Ray leaves sockets and pipes open when it ends.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

FILES, ROWS = 26, 4


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(5)
    for number in range(FILES):
        pixels = rng.integers(0, 256, (9 + number, 14, 3), "uint8")
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    (folder / "07.png").write_bytes(b"none")
    return folder


def run(photos, out, moment, address="here", victim="driver"):
    call = [sys.executable, batch_worker.__file__, photos, out, moment, str(ROWS), address, victim]
    return subprocess.run(list(map(str, call)), capture_output=True, text=True, timeout=900)


def table(out):
    return pq.read_table(str(out)).sort_by("id")


def check_whole(photos, out):
    assert table(out).column("id").to_pylist() == sorted(path.name for path in photos.iterdir())


@pytest.mark.full("starts Ray, which takes long")
@pytest.mark.parametrize("moment", ["computing", "writing", "moving", "moved"])
def test_kill_9_of_the_driver(moment, photos, tmp_path):
    out = tmp_path / "out"
    killed = run(photos, out, moment)
    assert killed.returncode == -9, killed.stderr
    there = set(table(out).column("id").to_pylist()) if list(out.glob("*.parquet")) else set()
    assert len(there) < FILES
    log = pathlib.Path(f"{out}.log")
    log.unlink()
    # Once by Ray again; the loop reads the same folder.
    done = run(photos, out, "never", "here" if moment == "writing" else "local")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{FILES - len(there)} done, {len(there)} skipped, 1 failed")
    check_whole(photos, out)
    assert not set(log.read_text().split()) & there  # no image is read again


@pytest.mark.full("starts Ray, which takes long")
def test_kill_9_of_a_worker_that_writes(photos, tmp_path):
    """Ray starts another; the results are those of the loop."""
    out, plain = tmp_path / "out", tmp_path / "plain"
    done = run(photos, out, "writing", victim="worker")
    assert done.returncode == 0, done.stderr
    assert pathlib.Path(f"{out}.log.killed").exists()
    # Above it Ray tells of the worker that died.
    assert done.stdout.splitlines()[-1].startswith(f"{FILES} done, 0 skipped, 1 failed")
    check_whole(photos, out)
    assert run(photos, plain, "never", "local").returncode == 0
    assert table(out).equals(table(plain))
    # What the worker that died had read is read again, and nothing else.
    read = collections.Counter(pathlib.Path(f"{out}.log").read_text().split())
    assert sum(read.values()) - FILES <= ROWS


@pytest.mark.full("starts Ray, which takes long")
def test_kill_of_a_node(photos, tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    log = str(tmp_path / "out.log")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setattr("keras_pvt.batch.identity.of_model", lambda options: options.model)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    cluster.wait_for_nodes()
    options = batch_worker.ray_options(log)
    del options["include_dashboard"]
    ray.init(cluster.address, **options)
    try:
        job = Job(
            "embed", "a-model", photos, tmp_path / "out", rows=2, batch_size=2, engine="keras",
            workers=2,
        )  # fmt: skip

        def kill(done, total):
            if done and len(nodes) == 2:
                cluster.remove_node(nodes.pop(), allow_graceful=False)

        summary = job.run("auto", kill)
        assert len(nodes) == 1
        assert (summary.done, summary.failed) == (FILES, 1)
        check_whole(photos, tmp_path / "out")
        # What is left of the cluster has room for one worker.
        (photos / "new.png").write_bytes((photos / "01.png").read_bytes())
        (photos / "new2.png").write_bytes((photos / "01.png").read_bytes())
        more = Job(
            "embed", "a-model", photos, tmp_path / "out", rows=1, batch_size=1, engine="keras",
            workers=2,
        )  # fmt: skip
        for _ in range(600):  # a busy machine is done before Ray misses the node
            if sum(node["Alive"] for node in ray.nodes()) == 2:
                break
            time.sleep(0.1)
        with pytest.raises(ValueError, match=r"2 workers of 1 CPUs are wanted, .* room for 1"):
            more.run("auto")
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.full("starts Ray, which takes long")
def test_a_real_model_gives_what_the_loop_gives(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_worker_niceness", "0")
    words = {"rows": 8, "batch_size": 4, "engine": "keras"}
    for place, address in (("loop", "local"), ("ray", "here")):
        job = Job("classify", "pvt_nano", photos, tmp_path / place, **words)
        assert job.run(address).done == FILES
    assert table(tmp_path / "ray").equals(table(tmp_path / "loop"))
    assert not ray.is_initialized()


@pytest.mark.full("starts Ray, which takes long")
@pytest.mark.parametrize("presses", [1, 2])
def test_ctrl_c(presses, photos, tmp_path):
    """It ends Ray too, and leaves a run to be resumed; a terminal gives it to all processes."""
    ids = list(range(4000))
    manifest, out = tmp_path / "manifest.parquet", tmp_path / "out"
    pq.write_table(pa.table({"id": ids, "path": [str(photos / "01.png")] * len(ids)}), manifest)
    folder = pathlib.Path(batch_worker.__file__).parent
    env = os.environ | {"RAY_worker_niceness": "0", "BATCH_MARK": str(tmp_path)}
    env["PYTHONPATH"] = f"{folder}{os.pathsep}{folder.parent}"
    words = ["classify", manifest, "--out", out, "--variant", "pvt_nano", "--engine", "keras"]
    program = (
        "import sys; import batch_worker; from keras_pvt import cli; batch_worker.hear_ctrl_c(); "
        "sys.exit(cli.main())"
    )
    call = [sys.executable, "-c", program, "batch", *map(str, words), "--rows", "32"]
    with subprocess.Popen(
        [*call, "--address", "here"], stderr=subprocess.PIPE, text=True, env=env,
        start_new_session=True,
    ) as process:  # fmt: skip
        while process.poll() is None and len(list(out.glob("*.parquet"))) < 2:
            time.sleep(0.01)
        for _ in range(presses):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.05)
        said = process.communicate(timeout=60)[1]
    assert process.returncode in (130, -signal.SIGINT), said
    before, stopped, _ = said.partition("stopped; the same command goes on from here")
    assert stopped
    if presses == 1:  # the second may come where Python can only report it
        assert "Traceback" not in before
    assert 0 < len(table(out)) < len(ids)
    deadline = time.monotonic() + 30
    while left := _started_with(f"BATCH_MARK={tmp_path}"):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
    done = subprocess.run(call, stderr=subprocess.PIPE, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert table(out).column("id").to_pylist() == ids


def _started_with(variable):
    """Processes that have a variable of the environment; none where there is no /proc."""
    found = []
    for file in pathlib.Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it has ended, or is of another user
            if variable in file.read_text(errors="replace").split("\0"):
                found.append(file.parent.name)
    return found


@pytest.mark.full("starts Ray, which takes long")
def test_what_bounds_the_threads_of_workers(monkeypatch):
    """Also under `ray job submit`, whose own variables Ray would not have twice."""
    job = {"runtime_env": {"env_vars": {"KERAS_BACKEND": "jax", "OMP_NUM_THREADS": "9"}}}
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
    with on_ray._connected("here", on_ray.Needs(1, cpus=1)):
        found = ray.get(ray.remote(lambda: dict(os.environ)).remote())
    names = ("KERAS_BACKEND", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "PJRT_NPROC")
    assert [found[name] for name in names] == ["jax", "1", "1", "1"]


@pytest.mark.parametrize(
    ("needs", "room"),
    [
        (on_ray.Needs(3, cpus=4), 3),  # 2 and 1: no worker is on two nodes
        (on_ray.Needs(4, cpus=4), None),
        (on_ray.Needs(2, cpus=5), 2),  # 1 and 1, where all processors would do for 3
        (on_ray.Needs(3, cpus=5), None),
        (on_ray.Needs(2, gpus=0.5), 2),
        (on_ray.Needs(3, gpus=0.5), None),
        (on_ray.Needs(4, memory=4), None),
        (on_ray.Needs(3, memory=4), 3),
    ],
)
def test_a_cluster_without_room_is_refused(needs, room):
    nodes = [{"CPU": 8, "GPU": 1, "memory": 9 << 30}, {"CPU": 7, "memory": 6 << 30}]
    if room is not None:
        on_ray.check_room(needs, nodes)
        return
    with pytest.raises(ValueError, match=rf"{needs} are wanted, and the cluster has room for"):
        on_ray.check_room(needs, nodes)


def test_a_worker_reads_by_no_more_threads_than_it_has_processors(monkeypatch):
    from keras_pvt.utils import threads

    monkeypatch.setattr(threads, "_share", None)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(on_ray, "Worker", lambda plan: plan)
    assert threads.processors() == 8
    on_ray._Actor("a plan", 3)
    assert threads.processors() == 3
    on_ray._Actor("a plan", 30)
    assert threads.processors() == 8


def test_ray_that_does_not_start_is_a_line(monkeypatch):
    def init(*_, **__):
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", init)
    told = "Ray could not be started: The current node timed out"
    with pytest.raises(OSError, match=told), on_ray._connected("here", on_ray.Needs(1)):
        pass


def test_a_wait_is_not_silent(monkeypatch, caplog):
    import threading

    said = threading.Event()
    monkeypatch.setattr(on_ray, "PATIENCE", 0.01)
    monkeypatch.setattr(ray, "available_resources", lambda: said.set() or {"CPU": 2})
    with caplog.at_level(logging.WARNING), on_ray._watched(on_ray.Needs(3)):
        assert said.wait(5)
    assert "3 workers of 1 CPUs are wanted, and the cluster has 2 CPUs" in caplog.text
