"""Hostile pickles: nothing runs, and each ends in one clear error."""

import argparse
import collections
import datetime
import functools
import io
import operator
import os
import pathlib
import pickle
import struct
import time
import zipfile
from typing import ClassVar

import numpy as np
import pytest
import torch

from keras_pvt.conversion import CheckpointError, read_checkpoint
from keras_pvt.conversion.readers import mapped, torch_files
from keras_pvt.conversion.readers.unpickle import (
    ALLOWED,
    HARMLESS,
    MAX_INSTRUCTIONS,
    Opaque,
    _Name,
    read_pickle,
)

pytestmark = pytest.mark.one_backend("reads files")


class Runs:
    """An object whose pickle asks for a function to be called."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def zip_file(data: bytes, storages=(bytes(24),), compression=zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("x/data.pkl", data)
        archive.writestr("x/version", "3")
        for number, storage in enumerate(storages):
            archive.writestr(f"x/data/{number}", storage)
    return file.getvalue()


def state_pickle(
    kind="FloatStorage", size=6, offset=0, shape=(2, 3), strides=(3, 1), key="0", name="w"
) -> bytes:
    """The pickle of {name: tensor} as `torch.save` writes it, with any numbers."""

    def integer(n: int) -> bytes:
        raw = n.to_bytes(16, "little", signed=True)
        return b"\x8a" + bytes([len(raw)]) + raw

    def text(word: str) -> bytes:
        raw = word.encode()
        return b"X" + struct.pack("<I", len(raw)) + raw

    def integers(numbers) -> bytes:
        return b"(" + b"".join(map(integer, numbers)) + b"t"

    storage = b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu")
    storage += integer(size) + b"tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(offset)
    tensor += integers(shape) + integers(strides)
    tensor += b"\x89ccollections\nOrderedDict\n)RtR"
    return b"\x80\x02}" + text(name) + tensor + b"s."


def write(tmp_path, content: bytes):
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    return path


def test_the_hand_made_pickle_is_right(tmp_path):
    numbers = np.arange(6, dtype="float32")
    content = zip_file(state_pickle(), [numbers.tobytes()])
    np.testing.assert_array_equal(
        read_checkpoint(write(tmp_path, content))["w"], numbers.reshape(2, 3)
    )
    assert torch.load(io.BytesIO(zip_file(state_pickle())), weights_only=True)["w"].shape == (2, 3)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_nothing_is_run(tmp_path, zipped, nested):
    trace = tmp_path / "trace"
    evil = Runs(os.system, f"touch {trace}")
    content = {"w": torch.zeros(2), "x": [{"y": (1, evil)}] if nested else evil}
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"asks for '(posix|nt)\.system'.*nothing is run"):
        read_checkpoint(tmp_path / "x.pth")
    assert not trace.exists()


@pytest.mark.parametrize(
    "thing",
    [
        Runs(eval, "1"),
        Runs(getattr, "a", "upper"),
        Runs(os.path.join, "a"),
        range(3),
        functools.partial(print),
        operator.attrgetter("a"),
    ],
    ids=["eval", "getattr", "join", "range", "partial", "attrgetter"],
)
def test_names_outside_the_list(thing):
    with pytest.raises(CheckpointError, match="asks for"):
        read_pickle(pickle.dumps({"w": thing}, 2))


class Tracked:
    """What no reader may make: it notes that it was made, and filled."""

    made: ClassVar[list] = []

    def __new__(cls, *args):
        cls.made.append("made")
        return super().__new__(cls)

    def __setstate__(self, state):
        self.made.append("filled")


class HistoryBuffer:
    """As mmengine keeps losses: arrays of numpy, and a class of its own around them."""

    def __init__(self):
        self._log_history = np.arange(5.0)
        self._count_history = np.arange(5)
        self.statistics = collections.OrderedDict(mean=len)


class Names(list):
    """A container of a class of its own, which a pickle fills after it is made."""


def beside() -> dict:
    """What trainers keep beside the weights, and whatever else is harmless."""
    return {
        "epoch": np.int64(3),
        "best": np.float32(0.5),
        "losses": np.linspace(0, 1, 100),
        "device": torch.device("cpu"),
        "shape": torch.Size([1, 2]),
        "dtype": torch.float16,
        "args": argparse.Namespace(lr=1e-3, out=pathlib.Path("runs")),
        "message_hub": {"log_scalars": {"loss": HistoryBuffer()}, (1, 2): 3, None: 4, b"x": 6},
        "started": datetime.datetime(2026, 11, 30, 12),
        "took": datetime.timedelta(hours=1),
        "seen": {1, 2, 3},
        "frozen": frozenset("ab"),
        "counts": collections.Counter("aab"),
        "late": collections.deque([1.0], 3),
        "tables": collections.defaultdict(list, a=[1]),
        "tracked": Tracked(),
        "names": Names(["a", "b"]),
        "class": HistoryBuffer,
        "huge": 2**3000,
    }


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_what_lies_beside_the_weights_is_not_made(tmp_path, zipped):
    """The weights are read, and no class of the file is asked for anything."""
    weights = {"w": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2)}
    content = {**beside(), "state_dict": weights, "more": [Tracked(), torch.zeros(3)]}
    content["message_hub"]["log_scalars"]["loss"].weight = torch.arange(7.0)
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    Tracked.made.clear()
    read = read_checkpoint(tmp_path / "x.pth")
    assert Tracked.made == []
    assert read.keys() == weights.keys()
    for key, tensor in weights.items():
        np.testing.assert_array_equal(read[key], tensor.numpy())


@pytest.mark.parametrize("thing", beside().values(), ids=beside())
def test_each_of_them_becomes_what_is_let_go(thing):
    value = read_pickle(pickle.dumps({"w": thing}, 2)).value["w"]
    plain = (Opaque, dict, int, float, str, list, _Name)
    assert isinstance(value, plain), value
    if isinstance(value, dict):
        assert all(isinstance(one, (*plain, type(None))) for one in value.values())


def test_a_call_among_them_is_refused_all_the_same(tmp_path):
    trace = tmp_path / "trace"
    for content in (
        {**beside(), "state_dict": {"w": torch.ones(1)}, "x": Runs(os.system, f"touch {trace}")},
        {"state_dict": {"w": torch.ones(1)}, "x": collections.deque([Runs(eval, "1")])},
        {"state_dict": {"w": torch.ones(1)}, Runs(os.getcwd): 1},
    ):
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(CheckpointError, match=r"asks for .*nothing is run"):
            read_checkpoint(tmp_path / "x.pth")
    assert not trace.exists()


def test_the_list_is_what_files_need():
    words = {name for name in ALLOWED if not name.endswith("Storage") and name not in HARMLESS}
    assert words == {
        "collections.OrderedDict",
        "collections.defaultdict",
        "torch._utils._rebuild_tensor_v2",
        "torch._utils._rebuild_parameter",
    }
    made = {name: entry.call() for name, entry in ALLOWED.items() if name in HARMLESS}
    assert all(isinstance(value, Opaque) for value in made.values())


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"kind": "QInt8Storage"}, "asks for 'torch.QInt8Storage'"),
        ({"kind": "DoubleStorage"}, "has 24 bytes, not 6 numbers of float64"),
        ({"size": 7}, "has 24 bytes, not 7"),
        ({"size": -1}, "storage wrongly"),
        ({"size": 2**100}, "not 1267650600228229401496703205376 numbers"),
        ({"key": "../../secret"}, "no member 'x/data/../../secret'"),
        ({"offset": 1}, "not inside its storage"),
        ({"offset": -1}, "not inside its storage"),
        ({"offset": 2**90}, "not inside its storage"),
        ({"shape": (3, 3)}, "not inside its storage"),
        ({"shape": (-2, -3)}, "not inside its storage"),
        ({"shape": (0, 3)}, "not inside its storage"),
        ({"shape": (2**40, 3), "strides": (0, 0)}, "is expanded"),
        ({"strides": (-3, 1)}, "not inside its storage"),
        ({"strides": (4, 1)}, "not inside its storage"),
        ({"strides": (2**62, 2**62)}, "not inside its storage"),
        ({"strides": (1,)}, "not inside its storage"),
        ({"shape": (1,) * 100, "strides": (1,) * 100}, "not inside its storage"),
    ],
)
def test_tensors_outside_their_storage(tmp_path, facts, message):
    path = write(tmp_path, zip_file(state_pickle(**facts)))
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(path)
    assert message in str(raised.value)
    assert len(str(raised.value)) < 500


def nested_tuples(depth: int) -> bytes:
    """A key whose hash takes 2**depth steps: it is told by its type alone."""
    return b"\x80\x02}(K\x01q\x00" + b"h\x00\x86q\x00".join([b"h\x00"] * depth) + b"K\x01u."


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "cut off"),
        (b"\x80\x02}", "cut off"),
        (b"\x80\x02.", "takes more than it has put"),
        (b"\x80\x02t.", "closes what it has not opened"),
        (b"\x80\x02h\x05.", "has not made"),
        (b"\x80\x02r\xff\xff\xff\xff.", "takes more than it has put"),
        (b"\x80\x02Nr\xff\xff\xff\xff0.", "instruction b'0'"),
        (b"\x80\x02X\xff\xff\xff\xffabc.", "cut off"),
        (b"\x80\x02X\x01\x00\x00\x00\xff.", "not UTF-8"),
        (b"\x80\x02\x8a\xff.", "cut off"),
        (b"\x80\x02c" + b"a" * 300, "endless name"),
        (b"\x80\x02NNs.", "takes more than it has put"),
        (b"\x80\x02NNNs.", "as if it were a dict"),
        (b"\x80\x02NNa.", "as if it were a list"),
        (b"\x80\x02}(K", "cut off"),
        (b"\x80\x02}(Nu.", "key without a value"),
        (b"\x80\x02N)R.", "what is no function"),
        (b"\x80\x02ctorch\nFloatStorage\n)R.", "asks for 'torch.FloatStorage'"),
        (b"\x80\x02ccollections\nOrderedDict\nNR.", "what is no function"),
        (b"\x80\x02ctorch._utils\n_rebuild_parameter\n)R.", "wrongly"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(NNNNtR.", "tensor wrongly"),
        (b"\x80\x02NQ.", "not a storage"),
        (b"\x80\x02NNb.", "attributes to what has none"),
        (b"\x80\x04\x95" + bytes(9), "instruction b'\\x95'"),
        (b"\x80\x02]" + b"N" * (MAX_INSTRUCTIONS + 1), "more than 1,000,000 instructions"),
    ],
)
def test_damaged_pickles(data, message):
    start = time.process_time()
    with pytest.raises(CheckpointError) as raised:
        read_pickle(data)
    assert message in str(raised.value)
    assert time.process_time() - start < 20


def test_a_key_that_takes_for_ever_to_hash_is_not_hashed():
    start = time.process_time()
    content = read_pickle(nested_tuples(10_000)).value
    assert any(isinstance(key, Opaque) for key in content)
    assert not any(isinstance(key, tuple) for key in content)
    assert time.process_time() - start < 5


def test_deep_and_cyclic_containers(tmp_path):
    """Deep nesting meets no recursion, and a list inside itself is no tensor."""
    deep = b"\x80\x02]q\x00" + b"]q\x01h\x00a" * 100_000 + b"."
    value, end, _ = read_pickle(deep)
    assert value == [[]]
    assert end == len(deep)
    cycle = b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s."
    with pytest.raises(CheckpointError, match="not tensors: model"):
        read_checkpoint(write(tmp_path, zip_file(cycle)))
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    head += pickle.dumps({"little_endian": True}, 2) + cycle + pickle.dumps([], 2)
    with pytest.raises(CheckpointError, match="not tensors: model"):
        read_checkpoint(write(tmp_path, head))


class Sharing(torch.nn.Module):
    """Layers that share one weight, as those of some language models do."""

    def __init__(self, count):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(8, 8, bias=False) for _ in range(count))
        for layer in self.layers:
            layer.weight = self.layers[0].weight


def sharing(count: int, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(Sharing(count).state_dict(), file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def deflated(content: bytes) -> bytes:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as source,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    return file.getvalue()


def test_one_storage_is_read_once(tmp_path, monkeypatch):
    """However many tensors share it: it takes its own memory, and no more."""
    path = write(tmp_path, deflated(sharing(5)))
    inflated = []
    monkeypatch.setattr(mapped, "_inflate", recorded(mapped._inflate, inflated))
    state = read_checkpoint(path)
    assert len(state) == 5
    first, *others = state.values()
    assert all(np.shares_memory(first, other) for other in others)
    storages = [name for name in inflated if "/data/" in name]
    assert len(storages) == len(set(storages)) == 1


def recorded(function, names):
    def call(content, member):
        names.append(member.filename)
        return function(content, member)

    return call


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_what_tensors_share_is_bounded(tmp_path, monkeypatch, zipped):
    """Before any storage is read: whoever copies the tensors would need as much memory."""
    monkeypatch.setattr(mapped, "MAX_INFLATION", 1)
    content = sharing(200, zipped)
    monkeypatch.setattr(torch_files, "view", None)
    assert len(content) < 200 * 8 * 8 * 4
    if not zipped:  # where the sizes of storages lie before them
        monkeypatch.undo()
        monkeypatch.setattr(mapped, "MAX_INFLATION", 1)
    with pytest.raises(CheckpointError, match=r"take more than 1 times the [\d,]+ bytes"):
        read_checkpoint(write(tmp_path, content))
    monkeypatch.undo()
    assert len(read_checkpoint(write(tmp_path, content))) == 200


def test_a_storage_by_a_tuple_is_told_by_its_type(tmp_path):
    head = pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(1001, 2)
    head += pickle.dumps({"little_endian": True}, 2) + pickle.dumps({}, 2)
    path = write(tmp_path, head + pickle.dumps([((1, 2), 3)], 2))
    with pytest.raises(CheckpointError, match="lists a storage by a tuple, not its name"):
        read_checkpoint(path)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_whole_module_is_told_what_to_save(tmp_path, zipped):
    """Also where its class is torch's own."""
    for module in (Sharing(2), torch.nn.Linear(3, 2)):
        torch.save(module, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match=r"whole module save `model\.state_dict\(\)`"):
            read_checkpoint(tmp_path / "x.pth")


def test_zip_bomb_of_a_storage(tmp_path):
    content = zip_file(
        state_pickle(size=2**24, shape=(2**24,), strides=(1,)),
        [bytes(2**26)],
        zipfile.ZIP_DEFLATED,
    )
    with pytest.raises(CheckpointError, match="inflates to"):
        read_checkpoint(write(tmp_path, content))


def test_zip_that_inflates_to_more_than_it_says(tmp_path):
    content = zip_file(state_pickle(), [bytes(range(24))], zipfile.ZIP_DEFLATED)
    for wrong in (23, 25):
        altered = content.replace(struct.pack("<I", 24), struct.pack("<I", wrong))
        assert altered != content
        with pytest.raises(CheckpointError, match=r"damaged|wrong size"):
            read_checkpoint(write(tmp_path, altered))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_cut_off_anywhere(tmp_path, zipped):
    file = io.BytesIO()
    torch.save({"w": torch.ones(9)}, file, _use_new_zipfile_serialization=zipped)
    content = file.getvalue()
    for length in range(0, len(content), max(1, len(content) // 60)):
        with pytest.raises(CheckpointError):
            read_checkpoint(write(tmp_path, content[:length]))


@pytest.mark.parametrize("size", [-1, -(2**62), 8, 10, 2**62])
def test_legacy_storages_of_wrong_sizes(tmp_path, size):
    file = io.BytesIO()
    torch.save({"w": torch.ones(9)}, file, _use_new_zipfile_serialization=False)
    content = file.getvalue()[: -4 * 9 - 8] + struct.pack("<q", size) + file.getvalue()[-36:]
    with pytest.raises(CheckpointError, match=r"cut off|wrong size|another size"):
        read_checkpoint(write(tmp_path, content))


def test_not_a_state_dict(tmp_path):
    for content, message in (
        ([torch.zeros(1)], "holds a list"),
        ({"epoch": 3, "net": {"w": torch.zeros(1)}}, "not tensors: epoch, net"),
        ({}, "holds an empty dict"),
    ):
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(tmp_path / "x.pth")


def test_big_endian_numbers(tmp_path):
    file = io.BytesIO(zip_file(state_pickle()))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("x/byteorder", "big")
    with pytest.raises(CheckpointError, match="big-endian"):
        read_checkpoint(write(tmp_path, file.getvalue()))


def test_a_number_of_thousands_of_digits_is_let_go(tmp_path):
    """As no error could show it; as the size of a storage it is one of ours all the same."""
    huge = b"\x8b\x00\x10\x00\x00" + b"\x01" * 4096
    assert isinstance(read_pickle(b"\x80\x02" + huge + b".").value, Opaque)
    size = b"\x8a\x10" + (6).to_bytes(16, "little")
    content = state_pickle()
    assert content.count(size) == 1
    with pytest.raises(CheckpointError, match="describes a storage wrongly"):
        read_checkpoint(write(tmp_path, zip_file(content.replace(size, huge))))
