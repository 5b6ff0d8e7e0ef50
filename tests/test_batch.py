"""`keras_pvt.batch`: the loop of one process, its folder of results, and what it refuses."""

import contextlib
import json
import logging
import os
import pathlib
import re
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

import keras_pvt
from keras_pvt.batch import Job, job, results
from keras_pvt.batch.storage import Folder

pytestmark = pytest.mark.one_backend("lists, writes and resumes")

WORKER = pathlib.Path(batch_worker.__file__)
FILES = 26
ROWS = 4  # seven chunks, the last of two


@pytest.fixture
def photos(tmp_path):
    """A folder of photos, of which some are none."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    rng = np.random.default_rng(5)
    for number in range(FILES):
        pixels = rng.integers(0, 256, (9 + number, 14, 3), "uint8")
        where = folder / "sub" if number % 2 else folder
        Image.fromarray(pixels).save(where / f"{number:02d}.png")
    return folder


@pytest.fixture
def means(tmp_path, monkeypatch):
    """Jobs compute mean colours, without a model; the log of images that they read."""
    log = tmp_path / "read.log"
    monkeypatch.setattr("keras_pvt.batch.identity.of_model", lambda options: options.model)
    monkeypatch.setattr(
        "keras_pvt.batch.tasks.load", lambda options, images: batch_worker.MeanColours(log)
    )
    return log


def write_images(folder, names):
    """Small images of different colours."""
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (8, 6), (20 * number, 90, 7)).save(folder / name)


def a_job(source, out, model="a-model", **options):
    options = {"rows": ROWS, "batch_size": 2, "engine": "keras"} | options
    return Job("embed", model, source, out, **options)


def table(out):
    return pq.read_table(str(out)).sort_by("id")


def rows_of(out):
    return {row["id"]: row for row in table(out).to_pylist()}


def ids_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def mean_of(path):
    pixels = np.asarray(Image.open(path).convert("RGB"), "float64")
    return pixels.mean(axis=(0, 1)).astype("float16").tolist()


def test_each_image_gets_a_row(photos, tmp_path, means):
    seen = []
    summary = a_job(photos, tmp_path / "out").run(progress=lambda *counts: seen.append(counts))
    assert (summary.done, summary.skipped, summary.failed) == (FILES, 0, 0)
    assert summary.images_per_second == pytest.approx(FILES / summary.seconds)
    assert seen == [(n, FILES) for n in (0, 4, 8, 12, 16, 20, 24, 26)]
    found = rows_of(tmp_path / "out")
    assert sorted(found) == ids_of(photos)
    for name, row in found.items():
        assert row["embedding"] == mean_of(photos / name)
        assert row["error"] is None
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[:2] == ["_job.json", "_lock"]
    assert len(results.parts(Folder(str(tmp_path / "out")))) == 7
    form = pq.read_schema(next((tmp_path / "out").glob("*.parquet")))
    assert form.names == ["id", "embedding", "error"]
    facts = json.loads(form.metadata[b"keras_pvt"])
    assert facts["model"] == "a-model"
    assert len(facts["fingerprint"]) == 32


def test_a_finished_run_adds_nothing_and_reads_nothing(photos, tmp_path, means):
    out = tmp_path / "out"
    a_job(photos, out).run()
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    means.unlink()
    summary = a_job(photos, out).run()
    assert (summary.done, summary.skipped, summary.images_per_second) == (0, FILES, 0)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert not means.exists()


def test_a_source_that_grew_adds_what_is_new(photos, tmp_path, means):
    out = tmp_path / "out"
    a_job(photos, out).run()
    before = set(out.glob("*.parquet"))
    means.unlink()
    write_images(photos, ["05b.png", "30.png"])
    seen = []
    summary = a_job(photos, out).run(progress=lambda *counts: seen.append(counts))
    assert (summary.done, summary.skipped) == (2, FILES)
    assert seen == [(FILES, FILES + 2), (FILES + 2, FILES + 2)]
    assert before < set(out.glob("*.parquet"))
    assert sorted(rows_of(out)) == ids_of(photos)
    assert sorted(means.read_text().split()) == ["05b.png", "30.png"]
    # Another folder beside it is growth too; the first one must stay.
    write_images(tmp_path / "more", ["x.png"])
    assert a_job([photos, tmp_path / "more"], out).run().done == 1
    with pytest.raises(ValueError, match=r"its source .*more is not among .*photos"):
        a_job(photos, out).run()


@pytest.mark.parametrize("moment", ["writing", "moving", "moved"])
def test_a_run_that_broke_goes_on(moment, photos, tmp_path, means, monkeypatch):
    """An error in place of kill -9, whose clearing up is not relied upon elsewhere."""
    calls = []
    own = job.commit if moment != "writing" else results.write

    def breaks(*arguments):
        calls.append(arguments)
        if len(calls) == 4 and moment != "moved":
            raise OSError(28, "No space left on device")
        own(*arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt

    where = "plan.write" if moment == "writing" else "job.commit"
    monkeypatch.setattr(f"keras_pvt.batch.{where}", breaks)
    out = tmp_path / "out"
    with pytest.raises((OSError, KeyboardInterrupt)):
        a_job(photos, out).run()
    there = set(rows_of(out))
    assert len(there) == (16 if moment == "moved" else 12)
    assert not (out / "_runs").exists()
    means.unlink()
    monkeypatch.setattr(f"keras_pvt.batch.{where}", own)
    summary = a_job(photos, out).run()
    assert (summary.done, summary.skipped) == (FILES - len(there), len(there))
    assert [row["id"] for row in table(out).to_pylist()] == ids_of(photos)
    again = set(means.read_text().split())
    assert again == {pathlib.Path(name).name for name in set(ids_of(photos)) - there}


@pytest.mark.parametrize("moment", batch_worker.MOMENTS)
def test_kill_9_at_any_moment(moment, photos, tmp_path):
    out = tmp_path / "out"
    call = [sys.executable, WORKER, str(photos), str(out)]
    killed = subprocess.run([*call, moment, str(ROWS), "local"], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    there = set() if moment == "listing" else set(rows_of(out))
    assert len(there) == {"listing": 0, "moved": 16}.get(moment, 12)
    if moment != "listing":
        assert list((out / "_runs").iterdir())
    log = pathlib.Path(f"{out}.log")
    log.unlink(missing_ok=True)
    done = subprocess.run([*call, "never", str(ROWS), "local"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{FILES - len(there)} done, {len(there)} skipped, 0 failed")
    assert [row["id"] for row in table(out).to_pylist()] == ids_of(photos)
    assert len(log.read_text().split()) == FILES - len(there)
    assert not (out / "_runs").exists()


def on_a_terminal(photos, out, presses=0):
    """The command's exit status, and what a terminal shows, without colours; with Ctrl-C, as often
    as it is to be pressed."""
    pty = pytest.importorskip("pty", reason="there are no terminals here")
    main, terminal = pty.openpty()
    program = "import batch_worker, sys; sys.exit(batch_worker.command(*sys.argv[1:]))"
    words = [f"{out}.log", "0.03", "batch", "embed", photos, "--out", out, "--rows", str(ROWS)]
    words += ["--batch-size", "2", "--engine", "keras"]
    env = os.environ | {"COLUMNS": "120", "TERM": "xterm", "KERAS_BACKEND": "torch"}
    env["PYTHONPATH"] = f"{WORKER.parent}{os.pathsep}{WORKER.parents[1]}"
    call = [sys.executable, "-c", program, *map(str, words)]
    shown = b""
    with subprocess.Popen(call, stderr=terminal, env=env, start_new_session=True) as process:
        os.close(terminal)
        with contextlib.suppress(OSError):  # Linux's way to say that the other end is closed
            while data := os.read(main, 1 << 16):
                shown += data
                if len(list(out.glob("*.parquet"))) > 1:
                    for _ in range(presses):
                        os.killpg(process.pid, signal.SIGINT)
                        time.sleep(0.02)
                    presses = 0
    os.close(main)
    return process.returncode, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())


@pytest.mark.parametrize("presses", [pytest.param(1, marks=pytest.mark.full("as with two")), 2])
def test_ctrl_c_on_a_terminal(presses, photos, tmp_path):
    """It ends the run without a traceback; the bar is right when the run goes on."""
    out = tmp_path / "out"
    status, shown = on_a_terminal(photos, out, presses)
    # The second one may end the process while it ends; a shell says 130 of both.
    assert status in (130, -signal.SIGINT), shown[-500:]
    said, stopped, _ = shown.partition("stopped; the same command goes on from here")
    assert stopped
    assert "Traceback" not in said
    there = len(table(out))
    assert 0 < there < FILES
    status, shown = on_a_terminal(photos, out)
    assert status == 0, shown[-500:]
    bars = re.findall(rf"(\d+)% \S+ +(\d+)/{FILES} ", shown)
    assert bars[0] == (f"{100 * there / FILES:.0f}", str(there))
    assert [int(done) for _, done in bars] == sorted(int(done) for _, done in bars)
    assert f"{FILES - there} done, {there} skipped, 0 failed" in shown
    assert [row["id"] for row in table(out).to_pylist()] == ids_of(photos)


def test_images_that_cannot_be_read_are_rows(photos, tmp_path, means, monkeypatch):
    (photos / "00.png").write_bytes((photos / "00.png").read_bytes()[:60])
    (photos / "02.png").write_bytes(b"")
    (photos / "04.png").write_bytes(b"GIF? no, text")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 14 * 32)  # numbers above 23 have more
    paths = [str(path) for path in sorted(photos.rglob("*.png"))] + ["", str(photos / "no.png")]
    ids = list(range(len(paths)))
    manifest = tmp_path / "manifest.parquet"
    pq.write_table(pa.table({"id": ids, "path": [*paths[:-2], None, paths[-1]]}), manifest)
    summary = a_job(manifest, tmp_path / "out").run()
    assert (summary.done, summary.failed) == (FILES + 2, 7)
    found = rows_of(tmp_path / "out")
    bad = {row["id"]: row["error"] for row in found.values() if row["error"] is not None}
    assert all(found[number]["embedding"] is None for number in bad)
    told = {pathlib.Path(paths[number]).name: error for number, error in bad.items()}
    assert told.keys() == {"00.png", "02.png", "04.png", "24.png", "25.png", "", "no.png"}
    for name in ("00.png", "02.png", "04.png"):
        assert f"{photos / name} cannot be read as an image" in told[name]
    assert "exceeds limit of 448 pixels" in told["25.png"]
    assert "cannot be opened: No such file" in told["no.png"]
    assert told[""] == f"image {FILES} has no path."


def test_what_could_not_be_read_is_tried_again_when_asked(photos, tmp_path, means):
    whole = {name: (photos / name).read_bytes() for name in ("00.png", "02.png")}
    for name in whole:
        (photos / name).write_bytes(b"")
    out = tmp_path / "out"
    assert a_job(photos, out).run().failed == 2
    for name, content in whole.items():
        (photos / name).write_bytes(content)
    again = a_job(photos, out).run()
    assert (again.done, again.failed) == (0, 2)
    means.unlink()
    retried = a_job(photos, out, retry=True).run()
    assert (retried.done, retried.skipped, retried.failed) == (2, FILES - 2, 0)
    assert sorted(means.read_text().split()) == sorted(whole)
    assert sorted(rows_of(out)) == ids_of(photos)
    assert len(table(out)) == FILES
    assert rows_of(out)["02.png"]["embedding"] == mean_of(photos / "02.png")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"model": "another"}, 'model "a-model", now "another"'),
        ({"pooling": "avg"}, 'pooling "head", now "avg"'),
        ({"size": 48}, "size null, now 48"),
        ({"precision": "bfloat16"}, 'precision "float32", now "bfloat16"'),
        ({"source": "elsewhere"}, "elsewhere"),
    ],
)
def test_another_job_in_the_folder_is_refused(changed, told, photos, tmp_path, means):
    out = tmp_path / "out"
    a_job(photos, out).run()
    changed = dict(changed)
    source = photos
    if "source" in changed:  # the same ids, other images
        source = tmp_path / changed.pop("source")
        write_images(source, [path.name for path in photos.glob("*.png")])
    before = rows_of(out)
    with pytest.raises(ValueError, match="has results of another job: ") as caught:
        a_job(source, out, **changed).run()
    assert told in str(caught.value)
    assert rows_of(out) == before
    # What does not change results may change.
    a_job(photos, out, rows=7, batch_size=5).run()


def test_a_folder_with_other_files_is_refused(photos, tmp_path, means):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("")
    with pytest.raises(ValueError, match=r"has 1 files, such as mine.txt, and no _job.json"):
        a_job(photos, tmp_path / "out").run()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    with pytest.raises(OSError, match=r"mine\.txt cannot be created: "):
        a_job(photos, tmp_path / "out" / "mine.txt").run()


def test_one_run_at_a_time(photos, tmp_path, means):
    out = tmp_path / "out"

    def second(done, total):
        with pytest.raises(ValueError, match="another run is writing to"):
            a_job(photos, out).run()

    a_job(photos, out).run(progress=second)
    assert len(table(out)) == FILES


def test_of_two_runs_on_an_object_store_the_last_goes_on(photos, means):
    """fsspec's file system in memory stands in for a store, which has no locks."""
    out = "memory://bucket/two"
    once = []

    def second(done, total):
        if done == ROWS and not once:
            once.append(a_job(photos, out).run())

    with pytest.raises(RuntimeError, match="another run has begun"):
        a_job(photos, out).run(progress=second)
    assert (once[0].done, once[0].skipped) == (FILES - ROWS, ROWS)
    found = results.read_ids(Folder(out))  # refuses ids that are there twice
    assert sorted(found.column("id").to_pylist()) == ids_of(photos)
    assert a_job(photos, out).run().skipped == FILES


def test_ids_that_are_there_twice_are_seen(photos, tmp_path, means):
    out = tmp_path / "out"
    a_job(photos, out).run()
    first = min(out.glob("*.parquet"))
    first.with_name("part-copy.parquet").write_bytes(first.read_bytes())
    with pytest.raises(ValueError, match="has ids twice"):
        a_job(photos, out).run()


def test_files_that_are_damaged_or_of_another_job(photos, tmp_path, means):
    out = tmp_path / "out"
    a_job(photos, out).run()
    part = min(out.glob("*.parquet"))
    whole = part.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"00.png") + 1] ^= 1  # else an image would be computed twice
    for damaged in (whole[:300], b"", bytes(flipped)):
        part.write_bytes(damaged)
        with pytest.raises(
            OSError, match=rf"{part.name} cannot be read: .* If it is damaged, remove"
        ):
            a_job(photos, out).run()
    part.unlink()
    folder = out / "part-x.parquet"  # what is to be removed is never the folder of all results
    folder.mkdir()
    with pytest.raises(OSError, match=r"out/part-x\.parquet cannot be read: .* If it is damaged"):
        a_job(photos, out).run()
    folder.rmdir()
    means.unlink()
    assert a_job(photos, out).run().done == len(means.read_text().split()) == ROWS
    assert [row["id"] for row in table(out).to_pylist()] == ids_of(photos)
    write_images(tmp_path / "more", ["x.png"])
    a_job(tmp_path / "more", tmp_path / "other", pooling="avg").run()
    strange = tmp_path / "strange.parquet"
    pq.write_table(pa.table({"x": [1]}), strange)
    for foreign in (strange, *(tmp_path / "other").glob("*.parquet")):
        (out / "part-more.parquet").write_bytes(foreign.read_bytes())
        with pytest.raises(ValueError, match=r"part-more.parquet is not of this job"):
            a_job(photos, out).run()


def test_one_file_sorted_by_id(photos, tmp_path, means, monkeypatch):
    out = tmp_path / "out"
    a_job([photos / "24.png", photos / "sub"], out).run()
    monkeypatch.setattr(results, "_SORTED", 5)
    own = a_job([photos / "24.png", photos / "sub"], out)
    assert own.write_sorted(tmp_path / "sorted.parquet") == 14
    found = pq.read_table(tmp_path / "sorted.parquet")
    assert found.column("id").to_pylist() == sorted(rows_of(out))
    assert found.sort_by("id").equals(table(out))
    assert found.schema.equals(pq.read_schema(next(out.glob("*.parquet"))), check_metadata=True)
    link = tmp_path / "link"
    link.symlink_to(out)
    with pytest.raises(ValueError, match="would be among the results"):
        a_job(photos, out.as_uri()).check_sorted(out / "sorted.parquet")
    for path, error, told in (
        (out / "sorted.parquet", ValueError, "would be among the results"),
        (link / "sorted.parquet", ValueError, "would be among the results"),
        (out, IsADirectoryError, "is a folder; give the name of a file"),
        (tmp_path / "no" / "sorted.parquet", FileNotFoundError, "there is no folder"),
    ):
        with pytest.raises(error, match=told):
            own.check_sorted(path)
        with pytest.raises(error, match=told):
            own.write_sorted(path)


def test_what_a_job_takes():
    for options, told in [
        ({"rows": 0}, "`rows` must be at least 1; got 0"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        ({"workers": 0}, "`workers` must be at least 1"),
        ({"workers": 1.5}, "`workers` must be an integer; got 1.5"),
        ({"rows": "8"}, "`rows` must be an integer; got '8'"),
        ({"gpus": -1}, "`gpus` and `memory`"),
        ({"masks": "png"}, "`masks` is for detect and segment; got 'png' for embed"),
        ({"top": 3}, "`top` is for classify; got 3 for embed"),
        ({"threshold": 0.1}, "`threshold` is for detect; got 0.1 for embed"),
        ({"segmenter": {"flip": True}}, "`segmenter` is for segment; got {'flip': True} for embed"),
        ({"classes": "imagenet"}, "`classes` is for classify and detect and segment; got"),
        ({"pooling": "max"}, "`pooling` must be head, token, avg"),
        ({"weights": "none"}, "weights 'none' are other numbers in each worker"),
        ({"path": "a", "content": "b"}, "not both"),
    ]:
        with pytest.raises(ValueError, match=re.escape(told)):
            Job("embed", "pvt_nano", "photos", "out", **options)
    # Whole batches, so that each image has the place in its batch that it would have in one run.
    assert Job("embed", "pvt_nano", "photos", "out", rows=7, batch_size=5).rows == 10
    with pytest.raises(ValueError, match="no task 'describe'; there are classify, embed"):
        Job("describe", "pvt_nano", "photos", "out")
    with pytest.raises(ValueError, match="`masks` of segment must be one of png, rle"):
        Job("segment", "a.keras", "photos", "out")
    with pytest.raises(ValueError, match="2 workers need Ray"):
        Job("embed", "pvt_nano", "photos", "out", workers=2).run("local")


def test_ray_that_is_missing_is_named(monkeypatch, photos, tmp_path, means):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'workers on Ray needs ray: pip install "keras-pvt'):
        a_job(photos, tmp_path / "out", workers=2).run()


def test_the_engine_that_was_chosen_stays(photos, tmp_path, means, monkeypatch, caplog):
    """Of "auto" the engine of the first run is an option like others from then on."""

    class Network:
        engine = "onnxruntime"

    task = batch_worker.MeanColours(means)
    task.network = Network()
    given = []
    monkeypatch.setattr(
        "keras_pvt.batch.tasks.load", lambda options, images: given.append(options.engine) or task
    )
    out = tmp_path / "out"
    a_job(photos / "sub", out, engine="auto").run()
    write_images(photos / "sub", ["new.png"])
    with caplog.at_level(logging.WARNING):
        a_job(photos / "sub", out, engine="auto").run()
    assert given == ["auto", "onnxruntime"]
    with pytest.raises(ValueError, match='engine "onnxruntime", now "keras"'):
        a_job(photos / "sub", out, engine="keras").run()
    facts = json.loads(pq.read_schema(next(out.glob("*.parquet"))).metadata[b"keras_pvt"])
    assert facts["engine"] == "onnxruntime"


def test_the_package_offers_it():
    assert keras_pvt.batch.Job is Job
    assert os.path.basename(keras_pvt.batch.__file__) == "__init__.py"
