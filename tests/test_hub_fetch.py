"""Weights from a hub: the client's protocol, over a bad connection, and who may see what."""

import json
import logging
import os
import pathlib
import socket
import sys
import traceback

import numpy as np
import pytest
from conftest import TINY, assert_same, perturb
from fetching import closed, open_folder, started
from hub_server import Repository
from hubs import NAME, weights
from safetensors.numpy import save
from weights_server import Fault

import keras_pvt
from keras_pvt.cli import main
from keras_pvt.conversion import read_checkpoint, to_torch
from keras_pvt.download import DownloadError
from keras_pvt.download import hub as client
from keras_pvt.download.hub import fetch

pytestmark = pytest.mark.one_backend("downloads files")

WORKER = pathlib.Path(__file__).with_name("hub_worker.py")


@pytest.fixture(scope="module")
def model():
    model = keras_pvt.classifier(TINY)
    perturb(model)
    return model


@pytest.fixture(scope="module")
def content(model):
    return weights(model)


@pytest.fixture
def repository(hub, content):
    hub.repositories["someone/pvt"] = Repository(
        {"model.safetensors": content, "config.json": b"{}", "README.md": b"# PVT"}
    )
    return hub.repositories["someone/pvt"]


def failure(name: str = NAME) -> str:
    """What is said, on one line, and nothing of what the client says."""
    with pytest.raises(DownloadError) as caught:
        fetch(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def unreachable(monkeypatch) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    return url


# ---- what goes well


def test_fetched_once_with_what_is_beside(hub, repository, content, tmp_path, model):
    path = fetch(NAME)
    assert path.read_bytes() == content
    assert (path.parent / "config.json").read_bytes() == b"{}"
    assert not (path.parent / "README.md").exists()
    assert path.is_relative_to(tmp_path / "hub" / "models--someone--pvt" / "snapshots")
    assert path.parent.name == repository.refs["main"]
    assert [method for method, *_ in hub.asked] == ["GET", "HEAD", "GET", "HEAD", "GET"]
    assert hub.asked[0][1] == "/api/models/someone/pvt?blobs=true"
    hub.asked.clear()
    assert fetch(NAME) == path
    assert [method for method, *_ in hub.asked] == ["GET", "HEAD"]  # the list, and the branch's tip
    assert_same(to_torch(keras_pvt.classifier(TINY, weights=NAME)), to_torch(model))


def test_info_gives_the_lines_for_a_name(hub, repository):
    bundled = pathlib.Path(keras_pvt.__file__).parent / "data" / "pvt_nano_cifar10.safetensors"
    repository.push({"model.safetensors": bundled.read_bytes()})
    found = keras_pvt.inspect_file(NAME)
    assert found.path == str(fetch(NAME))
    assert NAME in found.python
    assert NAME in found.shell
    assert found.path not in found.python + found.shell


def test_a_mirror_that_lists_neither_sizes_nor_hashes(hub, repository, content):
    hub.metadata = False
    assert fetch(NAME).read_bytes() == content


def test_revisions(hub, repository, content):
    old = repository.refs["main"]
    other = weights(keras_pvt.classifier(TINY))
    new = repository.push({"pytorch_model.bin": other}, "v2")
    assert fetch(f"{NAME}@v2").read_bytes() == other
    assert fetch(f"{NAME}@{old}").read_bytes() == content
    assert fetch(f"{NAME}@{new}").name == "pytorch_model.bin"
    message = failure(f"{NAME}@v3")
    assert "someone/pvt has no revision 'v3'" in message


def test_a_revision_that_changed_is_fetched_anew(hub, repository, content, monkeypatch):
    assert fetch(NAME).read_bytes() == content
    other = weights(keras_pvt.classifier(TINY))
    repository.push({"model.safetensors": other})
    assert fetch(NAME).read_bytes() == other
    offline(monkeypatch)
    assert fetch(NAME).read_bytes() == other


def test_a_revision_that_changes_in_between(hub, repository, content, monkeypatch):
    other = weights(keras_pvt.classifier(TINY))
    listing, files = client._listing, {"model.safetensors": other, "config.json": b"[]"}

    def changed(name):
        found = listing(name)
        if repository.refs["main"] == found.sha:
            repository.push(files)
        return found

    monkeypatch.setattr(client, "_listing", changed)
    path = fetch(NAME)
    assert path.read_bytes() == other
    assert (path.parent / "config.json").read_bytes() == b"[]"
    numbers = iter(range(100))
    monkeypatch.setattr(client, "_listing", lambda name: (listing(name), push(next(numbers)))[0])

    def push(number):
        repository.push({"model.safetensors": content, "n": bytes([number])})

    assert "changes while it is fetched" in failure()


def test_a_repository_without_weights_says_what_it_has(hub):
    hub.repositories["someone/pvt"] = Repository({"README.md": b"", "model.onnx": b""})
    assert "someone/pvt has no file with weights" in (message := failure())
    assert "it has README.md, model.onnx." in message
    assert hub.count("HEAD", "") == 0
    message = failure(f"{NAME}/last.pth")
    assert "has no file 'last.pth'; it has README.md, model.onnx." in message


# ---- a hub that misbehaves


def test_shards_come_with_their_list(hub, content, tmp_path):
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    shards = {name: save({key: np.ones(3, "float32")}) for key, name in index["weight_map"].items()}
    hub.repositories["someone/pvt"] = Repository(
        {"model.safetensors.index.json": json.dumps(index).encode(), **shards}
    )
    path = fetch(NAME)
    assert path.name == "model.safetensors.index.json"
    assert read_checkpoint(path).keys() == {"a", "b"}
    asked = len(hub.cdn.requests)
    assert fetch(NAME) == path
    assert len(hub.cdn.requests) == asked
    hub.repositories["someone/pvt"].push({"model.safetensors.index.json": b"{}"})
    with pytest.raises(DownloadError, match="no list of shards, as it has no `weight_map`"):
        fetch(NAME)


@pytest.mark.parametrize("ranges", [True, False])
def test_cut_off_midway(hub, repository, content, no_waiting, ranges):
    hub.cdn.ranges = ranges
    hub.upset["GET"] = [Fault(cut=20_000), Fault(cut=10_000)]
    assert fetch(NAME).read_bytes() == content
    asked = [asked for _, path, asked in hub.asked if "sig=" in path]
    assert asked[0] is None
    assert asked[1].startswith("bytes=")
    assert len(asked) == 3


def test_cut_off_for_ever(hub, repository, no_waiting, tmp_path):
    hub.upset["GET"] = [Fault(cut=0) for _ in range(50)]
    assert "cannot get model.safetensors of hf://someone/pvt from http" in failure()
    assert not [path for path in (tmp_path / "hub").rglob("*incomplete*") if path.is_file()]


@pytest.mark.parametrize("kind", ["api", "HEAD", "GET"])
def test_server_error_then_fine(hub, repository, content, no_waiting, kind, capfd):
    hub.upset[kind] = [Fault(status=500), Fault(status=503)]
    assert fetch(NAME).read_bytes() == content
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", ["api", "HEAD", "GET"])
def test_server_error_for_ever(hub, repository, no_waiting, kind):
    hub.upset[kind] = [Fault(status=500) for _ in range(50)]
    message = failure()
    assert "500" in message
    assert hub.url in message
    hub.upset.clear()
    fetch(NAME)


def test_a_hub_that_is_down_leaves_the_cache(hub, repository, content, caplog):
    path = fetch(NAME)
    hub.upset["api"] = [Fault(status=503) for _ in range(50)]
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        assert fetch(NAME) == path
    (record,) = caplog.records
    assert "hf://someone/pvt: the copy in the cache is used: " in record.getMessage()
    assert "503" in record.getMessage()


def test_what_is_no_hub(hub, repository):
    hub.upset["api"] = [Fault(cut=18), Fault(cut=18)]  # another JSON, and whole
    assert f"{hub.url} does not answer as a hub does; check HF_ENDPOINT" in failure()


def test_another_content_than_listed_is_not_kept(hub, repository, content):
    wrong = bytearray(content)
    wrong[-3] ^= 1
    hub.wrong[content] = bytes(wrong)
    assert "model.safetensors has another hash than is listed" in failure()
    hub.wrong.clear()
    assert fetch(NAME).read_bytes() == content
    repository.push({"model.safetensors": content, "config.json": b"{ }"})
    hub.wrong[b"{ }"] = b"[ ]"
    assert "config.json has another hash than is listed" in failure()


def test_too_large_is_not_begun(hub, repository, content, monkeypatch):
    monkeypatch.setattr(client, "LARGEST_WEIGHTS", len(content) - 1)
    assert f"has {len(content):,} bytes, where at most {len(content) - 1:,} are read" in failure()
    monkeypatch.setattr(client, "LARGEST_WEIGHTS", len(content))
    monkeypatch.setattr(client, "LARGEST", 1)
    assert "config.json has 2 bytes" in failure()


# ---- who may see what


def test_a_repository_that_is_not_there(hub):
    message = failure()
    assert f"there is no {hub.url}/someone/pvt that you may see" in message
    assert "`hf auth login`" in message


def test_a_gated_repository(hub, repository, content, monkeypatch, caplog):
    repository.gated = True
    message = failure()
    assert f"hf://someone/pvt is gated: ask for access at {hub.url}/someone/pvt" in message
    assert "`hf auth login`, or set HF_TOKEN" in message
    monkeypatch.setenv("HF_TOKEN", hub.token)
    with caplog.at_level(logging.DEBUG):
        assert fetch(NAME).read_bytes() == content
    assert set(hub.cdn.tokens) == {None}
    assert hub.token not in caplog.text


def test_a_private_repository(hub, repository, content, monkeypatch):
    repository.private = True
    assert "that you may see" in failure()
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert fetch(NAME).read_bytes() == content


def test_a_token_that_is_refused(hub, repository, monkeypatch, caplog):
    monkeypatch.setenv("HF_TOKEN", "hf_expired0123456789")
    with caplog.at_level(logging.DEBUG), pytest.raises(DownloadError) as caught:
        fetch(NAME)
    assert "does not let you read hf://someone/pvt (401): log in" in str(caught.value)
    everything = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "hf_expired" not in everything


def test_secrets_of_a_mirror_are_told_to_nobody(hub, repository, monkeypatch, caplog, no_waiting):
    address = hub.url.replace("://", "://me:p4ssw0rd@")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    hub.upset["GET"] = [Fault(cut=0) for _ in range(50)]
    with caplog.at_level(logging.DEBUG), pytest.raises(DownloadError) as caught:
        fetch(NAME)
    everything = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "p4ssw0rd" not in everything
    assert "s1gn3d" not in everything
    assert "://***@127.0.0.1" in str(caught.value)


# ---- without a hub


@pytest.mark.parametrize("how", [offline, unreachable])
def test_what_is_in_the_cache_needs_no_hub(hub, repository, content, monkeypatch, caplog, how):
    path = fetch(NAME)
    commit = repository.refs["main"]
    hub.asked.clear()
    how(monkeypatch)
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        assert fetch(NAME) == path
        assert fetch(f"{NAME}@{commit}") == path
        assert fetch(f"{NAME}/model.safetensors") == path
    assert not hub.asked
    assert len(caplog.records) == (3 if how is unreachable else 0)
    for name, said in ((f"{NAME}@v2", ""), (f"{NAME}/a.pth", "no file 'a.pth'; it has config.js")):
        assert f"{name} is not in the cache {path.parents[3]}" in (message := failure(name))
        assert said in message


def test_offline_and_not_cached(hub, monkeypatch, tmp_path):
    offline(monkeypatch)
    message = failure()
    assert f"hf://someone/pvt is not in the cache {tmp_path / 'hub'}, and {hub.url}" in message
    for part in ("HF_HUB_OFFLINE", "`hf download someone/pvt`", "HF_ENDPOINT"):
        assert part in message
    assert not hub.asked


def test_not_reached_and_not_cached(hub, monkeypatch):
    url = unreachable(monkeypatch)
    message = failure()
    assert f"{url} was not reached" in message
    assert "HF_ENDPOINT" in message


def test_no_client(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r'hf://a/b needs huggingface_hub: .*"keras-pvt\[hub\]"'):
        fetch("hf://a/b")


# ---- the folder of the cache


def test_a_cache_that_is_closed_to_writing(hub, repository, content, monkeypatch):
    with open_folder() as folder:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(folder / "token"))
        path = fetch(NAME)
        folders = [one for one in (folder, *folder.rglob("*")) if one.is_dir()]
        with closed(*folders):
            assert fetch(NAME) == path
            repository.push({"model.safetensors": weights(keras_pvt.classifier(TINY))})
            message = failure()
            assert f"cannot be put into the cache {folder / 'hub'}" in message
            assert "Permission denied" in message
            assert "HF_HOME" in message


@pytest.mark.full("starts eight processes")
def test_eight_processes_fetch_once(hub, repository, content, tmp_path):
    hub.upset["GET"] = [Fault(stall=20_000, seconds=1.0)]  # time for all to ask, if they would
    env = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)}
    with started([WORKER, NAME], 8, env) as processes:
        paths = set()
        for process in processes:
            output, _ = process.communicate(timeout=60)
            paths.add(output.strip())
            assert process.returncode == 0
    (path,) = paths
    assert pathlib.Path(path).read_bytes() == content
    assert hub.count("GET", "sig=") == 1


# ---- what comes


def test_another_network_is_said(hub, repository, monkeypatch):
    other = keras_pvt.classifier("pvt_v2_b0", classes=7)
    repository.push({"model.safetensors": weights(other)})
    with pytest.raises(ValueError, match="this looks like pvt_v2_b0, of PVTv2"):
        keras_pvt.PVTTiny(weights=NAME)


def test_a_page_instead_of_weights(hub, repository):
    repository.push({"model.safetensors": b"<!DOCTYPE html>"})
    with pytest.raises(ValueError, match="not a checkpoint"):
        read_checkpoint(fetch(NAME))


def test_the_command_says_it_in_a_line(hub, repository, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_expired0123456789")
    for words in (
        ["convert", NAME, str(tmp_path / "x.npz")],
        ["predict", str(WORKER), "--model", NAME],
        ["export", NAME, "--format", "onnx", "--out", str(tmp_path / "x.onnx")],
        ["detect", str(WORKER), "--model", NAME],
        ["segment", str(WORKER), "--model", NAME],
        ["info", NAME],
        ["convert", "hf://pvt", str(tmp_path / "x.npz")],
    ):
        assert main(words) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert ("does not let you read hf://someone/pvt" in line) == (words[1] != "hf://pvt")
        assert "hf_expired" not in line
    assert not list(tmp_path.glob("x.*"))


def test_malformed_names_ask_nobody(hub):
    with pytest.raises(ValueError, match="is no name on a hub"):
        keras_pvt.classifier(TINY, weights="hf://pvt")
    assert not hub.asked
