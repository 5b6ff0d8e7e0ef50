import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
import recipe
from conftest import TINY
from safetensors.numpy import save
from weights_server import Fault, WeightsServer

from keras_pvt import weights
from keras_pvt.conversion import read_checkpoint, save_checkpoint
from keras_pvt.conversion.shapes import official_shapes
from keras_pvt.download import DownloadError, fetch, transfer
from keras_pvt.download.progress import ByteProgress
from keras_pvt.variants import VARIANTS, WEIGHTS, PVTConfig, Weights

WORKER = pathlib.Path(__file__).with_name("fetch_worker.py")
NOBODY = 65534


def checkpoint(config: PVTConfig = TINY, seed: int = 0) -> bytes:
    """An official checkpoint of a small variant, in the bytes of a .safetensors file."""
    shapes = official_shapes(config)
    return save({key: recipe.tensor(key, shape, seed) for key, shape in shapes.items()})


@pytest.fixture
def server():
    with WeightsServer(checkpoint()) as server:
        yield server


@pytest.fixture
def facts(server) -> Weights:
    return Weights("a test", f"{server.url}/v2/pvt_test.pth", None, "imagenet", top1=0.0)


@pytest.fixture
def cached(tmp_path, facts, monkeypatch) -> pathlib.Path:
    """Where the file of "pvt_test" will lie; no waiting between attempts."""
    monkeypatch.setitem(VARIANTS, "pvt_test", TINY)
    monkeypatch.setitem(WEIGHTS, ("pvt_test", "imagenet"), facts)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KERAS_PVT_WEIGHTS_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(transfer, "BACKOFF", 0.001)
    monkeypatch.setattr(transfer, "TIMEOUT", (2.0, 0.4))
    monkeypatch.setattr(transfer, "CHUNK", 4096)
    return tmp_path / "home" / "models" / "keras_pvt" / "pvt_test.pth"


def left_in(folder: pathlib.Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def failure() -> str:
    with pytest.raises(DownloadError) as caught:
        fetch("pvt_test")
    return str(caught.value)


WHOLE = {"pvt_test.pth", "pvt_test.pth.sha256", "pvt_test.pth.lock"}


# ---- what goes well


def test_fetched_once_and_its_hash_recorded(server, cached, capsys):
    assert fetch("pvt_test") == cached
    assert fetch("pvt_test", "imagenet") == cached
    assert server.requests == [("/v2/pvt_test.pth", None)]
    assert cached.read_bytes() == server.content
    assert left_in(cached.parent) == WHOLE
    record = cached.with_name("pvt_test.pth.sha256").read_text()
    assert record == f"{hashlib.sha256(server.content).hexdigest()}  pvt_test.pth\n"
    assert capsys.readouterr() == ("", "")  # no bar where there is no terminal


def test_named_weights_in_torchs_format(server, cached, tmp_path):
    state = {key: recipe.tensor(key, shape) for key, shape in official_shapes(TINY).items()}
    save_checkpoint(state, tmp_path / "official.pth")
    server.content = (tmp_path / "official.pth").read_bytes()
    loaded = read_checkpoint(weights.find("pvt_test", "imagenet"))
    assert loaded.keys() == state.keys()
    for key, array in loaded.items():
        np.testing.assert_array_equal(array, state[key])
    assert len(server.requests) == 1


def test_file_put_there_by_hand_is_taken(server, cached):
    cached.parent.mkdir(parents=True)
    cached.write_bytes(server.content)
    fetch("pvt_test")
    assert not server.requests
    assert left_in(cached.parent) == WHOLE - {"pvt_test.pth.lock"}


def test_server_without_length_or_versions(server, cached):
    server.length = server.validators = False
    assert fetch("pvt_test").read_bytes() == server.content


def test_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with ByteProgress("pvt_test.pth") as progress:
        progress.update(500, 1000)
    shown = capsys.readouterr()
    assert "pvt_test.pth" in shown.err
    assert shown.out == ""


# ---- a server that misbehaves


def test_cut_off_midway_is_continued(server, cached):
    server.faults = [Fault(cut=20_000), Fault(cut=10_000)]
    fetch("pvt_test")
    assert cached.read_bytes() == server.content
    offsets = [0 if asked is None else int(asked[6:-1]) for _, asked in server.requests]
    assert offsets[0] == 0 < offsets[1] <= 20_000 < offsets[2] <= 30_000
    assert left_in(cached.parent) == WHOLE


def test_stalled_transfer_is_continued(server, cached):
    server.faults = [Fault(stall=20_000, seconds=1.0)]
    fetch("pvt_test")
    assert cached.read_bytes() == server.content
    assert [asked is None for _, asked in server.requests] == [True, False]


def test_slow_server_is_waited_for(server, cached):
    server.faults = [Fault(stall=20_000, seconds=0.2)]
    fetch("pvt_test")
    assert len(server.requests) == 1


def test_without_range_support_it_starts_over(server, cached):
    server.ranges = False
    server.faults = [Fault(cut=20_000)]
    fetch("pvt_test")
    assert cached.read_bytes() == server.content
    assert len(server.requests) == 2


def test_without_versions_nothing_is_continued(server, cached):
    server.validators = False
    server.faults = [Fault(cut=20_000)]
    fetch("pvt_test")
    assert [asked for _, asked in server.requests] == [None, None]


@pytest.mark.parametrize("conditions", [True, False])
def test_file_changed_between_two_requests(server, cached, monkeypatch, conditions):
    """With `conditions` the server sends all of it; without, the rest of another file."""
    server.conditions = conditions
    server.faults = [Fault(cut=20_000)]
    new = checkpoint(seed=1)
    assert len(new) == len(server.content)
    monkeypatch.setattr(time, "sleep", lambda _: setattr(server, "content", new))
    fetch("pvt_test")
    assert cached.read_bytes() == new
    assert len(server.requests) == (2 if conditions else 3)


def test_range_that_begins_elsewhere_is_not_appended(server, cached):
    server.faults = [Fault(cut=20_000), Fault(early=100)]
    fetch("pvt_test")
    assert cached.read_bytes() == server.content
    assert len(server.requests) == 3


def test_part_of_another_address_is_not_continued(server, cached, monkeypatch):
    server.faults = [Fault(cut=20_000)]
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    failure()
    assert "pvt_test.pth.part" in left_in(cached.parent)
    monkeypatch.setenv("KERAS_PVT_WEIGHTS_URL", f"{server.url}/mirror")
    fetch("pvt_test")
    assert server.requests[1:] == [("/mirror/pvt_test.pth", None)]


def test_fewer_bytes_than_announced(server, cached):
    server.faults = [Fault(longer=50) for _ in range(20)]
    failure()
    assert not cached.exists()
    assert len(server.requests) == transfer.ATTEMPTS


def test_more_bytes_than_announced(server, cached):
    server.faults = [Fault(longer=-50)]
    failure()
    assert left_in(cached.parent) == {"pvt_test.pth.lock"}


def test_not_found_is_not_retried(server, facts, cached):
    server.faults = [Fault(status=404)]
    message = failure()
    for part in ("404", facts.url, str(cached.parent), "pvt_test.pth", "KERAS_PVT_WEIGHTS_URL"):
        assert part in message
    assert "\n" not in message
    assert len(server.requests) == 1


def test_server_error_then_fine(server, cached):
    server.faults = [Fault(status=500), Fault(status=503)]
    assert fetch("pvt_test").read_bytes() == server.content
    assert len(server.requests) == 3


def test_server_error_for_ever(server, cached):
    server.faults = [Fault(status=500) for _ in range(50)]
    assert "500" in failure()
    assert len(server.requests) == 1 + transfer.ATTEMPTS


def test_offline(cached, facts, monkeypatch, caplog):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/pvt_test.pth"
        facts = dataclasses.replace(facts, url=url)
        monkeypatch.setitem(WEIGHTS, ("pvt_test", "imagenet"), facts)
        message = failure()
    for part in (url, str(cached.parent), "pvt_test.pth", "KERAS_PVT_WEIGHTS_URL"):
        assert part in message
    assert not caplog.records  # the error says it all


# ---- the wrong content


def with_nan() -> bytes:
    state = {key: recipe.tensor(key, shape) for key, shape in official_shapes(TINY).items()}
    state["head.bias"][3] = np.nan
    return save(state)


OTHER = dataclasses.replace(TINY, depths=(1, 2, 3, 1))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<!DOCTYPE html><html>please log in</html>", "not a checkpoint"),
        (b"", "empty"),
        (checkpoint()[:-100], "pvt_test.pth.part"),
        (checkpoint(OTHER), "block3.2.attn.kv.bias; this looks like pvt_other"),
        (checkpoint(dataclasses.replace(TINY, classes=8)), "2 tensors .* such as head.bias"),
        (with_nan(), "head.bias has values that are not finite"),
        (bytes(10 * len(checkpoint())), "at most"),
    ],
    ids=["html", "empty", "short", "variant", "classes", "nan", "huge"],
)
def test_wrong_content_is_one_error_and_leaves_nothing(
    server, cached, monkeypatch, content, reason
):
    monkeypatch.setitem(VARIANTS, "pvt_other", OTHER)
    server.content = content
    with pytest.raises(DownloadError, match=reason):
        fetch("pvt_test")
    assert left_in(cached.parent) <= {"pvt_test.pth.lock"}
    server.content = checkpoint()
    fetch("pvt_test")  # and the next call begins anew


def test_endless_body_is_given_up(server, cached):
    server.length = False
    server.content = bytes(10 * len(server.content))
    assert "more than" in failure()
    assert left_in(cached.parent) == {"pvt_test.pth.lock"}


def test_published_hash_decides(server, cached, facts, monkeypatch):
    right = hashlib.sha256(server.content).hexdigest()
    for sha256 in ("0" * 64, right):
        known = dataclasses.replace(facts, sha256=sha256)
        monkeypatch.setitem(WEIGHTS, ("pvt_test", "imagenet"), known)
        if sha256 == right:
            assert fetch("pvt_test").read_bytes() == server.content
        else:
            message = failure()
            assert right in message
            assert sha256 in message
            assert not cached.exists()


# ---- the cache


def test_corrupt_entry_is_said_and_replaced(server, cached, caplog):
    fetch("pvt_test")
    content = bytearray(server.content)
    content[-5] ^= 1
    cached.write_bytes(content)
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        fetch("pvt_test")
    assert cached.read_bytes() == server.content
    assert len(server.requests) == 2
    (record,) = caplog.records
    assert str(cached) in record.getMessage()
    assert "\n" not in record.getMessage()


def test_corrupt_entry_stays_while_there_is_no_better(server, cached):
    fetch("pvt_test")
    cached.write_bytes(b"corrupt")
    server.content = checkpoint(seed=1)  # as good, but not what was first used
    message = failure()
    assert str(cached.with_name("pvt_test.pth.sha256")) in message
    assert cached.read_bytes() == b"corrupt"
    assert left_in(cached.parent) == WHOLE


def test_unreadable_record_is_made_again(server, cached):
    fetch("pvt_test")
    record = cached.with_name("pvt_test.pth.sha256")
    right = record.read_bytes()
    record.write_bytes(b"\xff\x00")
    fetch("pvt_test")
    assert record.read_bytes() == right
    assert len(server.requests) == 1


@contextlib.contextmanager
def workers(url: str, count: int):
    """Processes that fetch as soon as all are ready; they are ended in any case."""
    command = [sys.executable, WORKER, url, json.dumps(dataclasses.asdict(TINY))]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(subprocess.Popen(command, **pipes)) for _ in range(count)]
        for process in processes:
            stack.callback(process.kill)
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * count
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        yield processes


def test_killed_process_is_continued_and_blocks_nobody(server, facts, cached):
    server.faults = [Fault(stall=len(server.content) // 2, seconds=20)]
    part = cached.with_name("pvt_test.pth.part")
    with workers(facts.url, 1) as (process,):
        deadline = time.monotonic() + 20
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()  # SIGKILL
    size = part.stat().st_size
    assert not cached.exists()
    fetch("pvt_test")
    assert server.requests[1:] == [("/v2/pvt_test.pth", f"bytes={size}-")]
    assert cached.read_bytes() == server.content


def test_eight_processes_fetch_once(server, facts, cached):
    server.faults = [Fault(stall=20_000, seconds=0.5)]  # time for all to ask, if they would
    with workers(facts.url, 8) as processes:
        for process in processes:
            output, _ = process.communicate(timeout=60)
            assert output.strip() == str(cached)
            assert process.returncode == 0
    assert len(server.requests) == 1
    assert cached.read_bytes() == server.content
    assert left_in(cached.parent) == WHOLE


@pytest.fixture
def read_only(monkeypatch):
    """Puts files into a cache folder, then closes it to writing, for root too."""
    with contextlib.ExitStack() as stack:

        def close(files: dict[str, bytes]) -> pathlib.Path:
            home = pathlib.Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
            stack.callback(shutil.rmtree, home)
            monkeypatch.setenv("KERAS_HOME", str(home))
            folder = home / "models" / "keras_pvt"
            folder.mkdir(parents=True)
            for name, content in files.items():
                (folder / name).write_bytes(content)
            for path in (folder, folder.parent, home):
                path.chmod(0o555)
                stack.callback(path.chmod, 0o755)
            if os.geteuid() == 0:
                os.seteuid(NOBODY)
                stack.callback(os.seteuid, 0)
            return folder

        yield close


@pytest.mark.parametrize("recorded", [True, False])
def test_read_only_cache_with_a_good_file(server, cached, read_only, recorded):
    files = {"pvt_test.pth": server.content}
    if recorded:
        digest = hashlib.sha256(server.content).hexdigest()
        files["pvt_test.pth.sha256"] = f"{digest}  pvt_test.pth\n".encode()
    folder = read_only(files)
    assert fetch("pvt_test") == folder / "pvt_test.pth"
    assert left_in(folder) == set(files)
    assert not server.requests


@pytest.mark.parametrize("content", [{}, {"pvt_test.pth": b"corrupt"}])
def test_read_only_cache_with_nothing_usable(server, cached, read_only, content):
    folder = read_only(content)
    message = failure()
    for part in ("Permission denied", str(folder), "KERAS_HOME"):
        assert part in message
    assert ("not a checkpoint" in message) == bool(content)
    assert not server.requests


def test_home_folder_without_keras_home(cached, tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch("pvt_test") == tmp_path / ".keras" / "models" / "keras_pvt" / "pvt_test.pth"


# ---- where it comes from


@pytest.mark.parametrize("form", ["{}", "{}/", "file://{}"])
def test_local_folder(server, cached, tmp_path, monkeypatch, form):
    (tmp_path / "pvt_test.pth").write_bytes(server.content)
    monkeypatch.setenv("KERAS_PVT_WEIGHTS_URL", form.format(tmp_path))
    assert fetch("pvt_test") == cached
    assert cached.read_bytes() == server.content
    assert left_in(cached.parent) == WHOLE
    assert not server.requests


def test_local_folder_without_the_file(cached, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_PVT_WEIGHTS_URL", str(tmp_path))
    assert str(tmp_path / "pvt_test.pth") in failure()


def test_mirror(server, cached, monkeypatch):
    monkeypatch.setenv("KERAS_PVT_WEIGHTS_URL", f"{server.url}/some/mirror/?token=a/b")
    fetch("pvt_test")
    assert server.requests == [("/some/mirror/pvt_test.pth?token=a/b", None)]


def test_unknown_kind_of_mirror(cached, monkeypatch):
    monkeypatch.setenv("KERAS_PVT_WEIGHTS_URL", "s3://bucket")
    with pytest.raises(ValueError, match="s3://bucket"):
        fetch("pvt_test")


def test_names_that_are_not_published(cached, facts, monkeypatch):
    monkeypatch.setitem(WEIGHTS, ("pvt_test", "ours"), dataclasses.replace(facts, url=None))
    for names in (("pvt_test", "ours"), ("pvt_test", "coco"), ("pvt_huge", "imagenet")):
        with pytest.raises(ValueError, match=r"pvt_tiny \(imagenet\)"):
            fetch(*names)


def test_shapes_are_those_of_the_official_files():
    for variant in ("pvt_tiny", "pvt_small", "pvt_medium", "pvt_large"):
        file = recipe.GOLDEN / "state_dicts" / f"{variant}.json"
        expected = {key: tuple(shape) for key, shape in json.loads(file.read_text()).items()}
        assert official_shapes(VARIANTS[variant]) == expected
