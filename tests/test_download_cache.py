"""The folder of downloaded weights: corrupt, closed to writing, of many processes at once."""

import contextlib
import dataclasses
import hashlib
import json
import logging
import pathlib
import time

import pytest
from conftest import TINY
from fetching import WHOLE, checkpoint, closed, failure, left_in, open_folder, started
from weights_server import Fault

from keras_pvt.download import fetch

pytestmark = pytest.mark.one_backend("downloads files")

WORKER = pathlib.Path(__file__).with_name("fetch_worker.py")


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
    server.content = checkpoint(TINY, seed=1)  # as good, but not what was first used
    message = failure()
    assert str(cached.with_name("pvt_test.pth.sha256")) in message
    assert cached.read_bytes() == b"corrupt"
    assert left_in(cached.parent) == WHOLE


def test_a_file_is_pinned_at_first_use_and_a_change_is_said(server, cached, caplog):
    """Also where the file itself was removed, and comes from elsewhere the next time."""
    with caplog.at_level(logging.INFO, "keras_pvt"):
        fetch("pvt_test")
    first = hashlib.sha256(server.content).hexdigest()
    assert f"pvt_test.pth has sha256 {first}, which it must have from now on" in caplog.text
    cached.unlink()
    server.content = checkpoint(TINY, seed=1)
    message = failure()
    for part in (first, hashlib.sha256(server.content).hexdigest(), "recorded at first use"):
        assert part in message
    assert not cached.exists()
    cached.with_name("pvt_test.pth.sha256").unlink()  # as the message says
    assert fetch("pvt_test").read_bytes() == server.content


def test_unreadable_record_is_made_again(server, cached):
    fetch("pvt_test")
    record = cached.with_name("pvt_test.pth.sha256")
    right = record.read_bytes()
    record.write_bytes(b"\xff\x00")
    fetch("pvt_test")
    assert record.read_bytes() == right
    assert len(server.requests) == 1


def workers(url: str, count: int):
    """Processes that fetch "pvt_test"."""
    return started([WORKER, url, json.dumps(dataclasses.asdict(TINY))], count)


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
            home = stack.enter_context(open_folder())
            monkeypatch.setenv("KERAS_HOME", str(home))
            folder = home / "models" / "keras_pvt"
            folder.mkdir(parents=True)
            for name, content in files.items():
                (folder / name).write_bytes(content)
            stack.enter_context(closed(folder, folder.parent, home))
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
