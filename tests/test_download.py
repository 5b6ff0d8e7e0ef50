"""Weights by name: from where, over a bad connection, and whether they are the right ones."""

import dataclasses
import hashlib
import json
import logging
import socket
import time
import traceback
import types

import numpy as np
import pytest
import recipe
from conftest import TINY
from fetching import WHOLE, checkpoint, failure, left_in
from safetensors.numpy import save
from weights_server import Fault

from keras_pvt import families, weights
from keras_pvt.conversion import read_checkpoint, save_checkpoint
from keras_pvt.conversion.maps.stages import official_shapes
from keras_pvt.download import DownloadError, fetch, transfer
from keras_pvt.download.partial import validator
from keras_pvt.download.secrets import redacted, redacted_text
from keras_pvt.download.transfer import ByteProgress
from keras_pvt.variants import VARIANTS, WEIGHTS

pytestmark = pytest.mark.one_backend("downloads files")

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
    new = checkpoint(TINY, seed=1)
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
    assert "comes with the package: pvt_nano (cifar10), pvt_v2_nano (cifar10)." in message
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
        (checkpoint(TINY)[:-100], "pvt_test.pth.part"),
        (checkpoint(OTHER), "block3.2.attn.kv.bias; this looks like pvt_other"),
        (checkpoint(dataclasses.replace(TINY, classes=8)), "2 tensors .* as head.bias. Put"),
        (with_nan(), "head.bias has values that are not finite"),
        (bytes(10 * len(checkpoint(TINY))), "at most"),
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
    server.content = checkpoint(TINY)
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


# ---- what a mirror's address holds is told to nobody

SECRETS = ("hush", "s3cr3t", "p%40ss", "p@ss", "(tell) none", "%28tell%29", "(tell)")


def with_secrets(url: str) -> str:
    return f"{url}/mirror?sig=hush&key=s3cr3t".replace("://", "://me:p%40ss@")


def no_secret_in(text: str) -> bool:
    return not any(secret in text for secret in SECRETS)


def whole(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(
    "faults",
    [
        [Fault(status=404)],
        [Fault(status=500)] * 20,
        [Fault(cut=20_000)] * 20,
        [Fault(longer=50)] * 20,
        [Fault(longer=-50)],
        [Fault(redirect="/elsewhere?sig=hush&key=s3cr3t"), Fault(status=403)],
    ],
    ids=["missing", "failing", "broken off", "short", "wrong", "redirected"],
)
def test_secrets_are_in_no_message_and_no_file(server, cached, monkeypatch, caplog, faults):
    server.faults = faults
    monkeypatch.setenv("KERAS_PVT_WEIGHTS_URL", with_secrets(server.url))
    with caplog.at_level(logging.DEBUG), pytest.raises(DownloadError) as caught:
        fetch("pvt_test")
    path, _ = server.requests[0]
    assert path == "/mirror/pvt_test.pth?sig=hush&key=s3cr3t"
    assert f"from http://***@127.0.0.1:{server.server_port}/mirror/pvt_test.pth?***: " in str(
        caught.value
    )
    assert no_secret_in(whole(caught.value))
    assert no_secret_in(caplog.text)
    assert all(no_secret_in(file.read_text("latin-1")) for file in cached.parent.iterdir())


def test_secrets_of_a_server_that_is_not_there(cached, monkeypatch, caplog):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/a?key=(tell) none"
        monkeypatch.setenv("KERAS_PVT_WEIGHTS_URL", url)
        with caplog.at_level(logging.DEBUG), pytest.raises(DownloadError) as caught:
            fetch("pvt_test")
    assert no_secret_in(whole(caught.value))
    assert no_secret_in(caplog.text)


@pytest.mark.parametrize(
    ("mirror", "message"),
    [
        ("ftp://me:s3cr3t@host/a?key=hush", r"got 'ftp://\*\*\*@host/a\?\*\*\*'"),
        ("me:s3cr3t@host/a", "has a user and a password, but no http"),
        ("http://me:s3cr3t@[host/a", "holds an address that cannot be read"),
    ],
)
def test_secrets_of_an_address_that_is_none(cached, monkeypatch, mirror, message):
    monkeypatch.setenv("KERAS_PVT_WEIGHTS_URL", mirror)
    with pytest.raises(ValueError, match=message) as caught:
        fetch("pvt_test")
    assert no_secret_in(whole(caught.value))


def test_a_part_is_continued_with_another_token(server, cached, monkeypatch):
    """The note of a part knows its address without what changes."""
    server.faults = [Fault(cut=20_000)]
    monkeypatch.setattr(transfer, "ATTEMPTS", 1)
    for token in ("hush", "s3cr3t"):
        monkeypatch.setenv("KERAS_PVT_WEIGHTS_URL", f"{server.url}/mirror?key={token}")
        if token == "hush":
            failure()
    fetch("pvt_test")
    assert cached.read_bytes() == server.content
    (_, first), (_, second) = server.requests
    assert first is None
    assert second.startswith("bytes=")


def test_words_of_others_about_other_addresses():
    said = "403 for url: https://a:b@host/x?sig=1 (and /y?key=2), it failed? yes"
    assert redacted_text(said, "http://host/z") == (
        "403 for url: https://***@host/x?*** (and /y?***), it failed? yes"
    )
    assert redacted("/a/folder?x@y") == "/a/folder?x@y"


def test_names_that_are_not_published(cached, facts, monkeypatch):
    monkeypatch.setitem(WEIGHTS, ("pvt_test", "ours"), dataclasses.replace(facts, url=None))
    for names in (("pvt_test", "ours"), ("pvt_test", "coco"), ("pvt_huge", "imagenet")):
        with pytest.raises(ValueError, match=r"pvt_tiny \(imagenet\)"):
            fetch(*names)


def test_shapes_are_those_of_the_official_files():
    for variant, config in VARIANTS.items():
        if variant.endswith("_nano"):  # ours
            continue
        file = recipe.GOLDEN / "state_dicts" / f"{variant}.json"
        expected = {key: tuple(shape) for key, shape in json.loads(file.read_text()).items()}
        assert families.named(config.family).load("shapes")(config) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ETag": '"a"', "Last-Modified": "then"}, '"a"'),
        ({"ETag": 'W/"a"', "Last-Modified": "then"}, "then"),
        ({"ETag": 'W/"a"'}, None),
        ({}, None),
    ],
)
def test_a_weak_tag_tells_no_versions_apart(headers, expected):
    assert validator(types.SimpleNamespace(headers=headers)) == expected
