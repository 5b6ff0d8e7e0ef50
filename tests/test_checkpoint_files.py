"""Reading and writing every kind of file but Keras's, and what damaged files end in."""

import io
import json
import os
import struct
import subprocess
import sys
import zipfile

import keras
import ml_dtypes
import numpy as np
import pytest
import torch
from conftest import assert_same

import keras_pvt
from keras_pvt.conversion import (
    CheckpointError,
    cast,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    to_torch,
)

pytestmark = pytest.mark.one_backend("reads and writes arrays")

ARRAYS = {
    "a.weight": np.arange(30, dtype="float32").reshape(5, 3, 2) - 7.5,
    "a.bias": np.array([0.1, -0.2, 3e-5], "float32"),
    "scalar": np.array(2.5, "float32"),
}


def tensors(arrays=ARRAYS):
    return {key: torch.from_numpy(np.array(array)) for key, array in arrays.items()}


def test_a_tensor_that_is_larger_than_its_storage_is_named(tmp_path):
    torch.save({"a": torch.zeros(1).expand(30, 40)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"'a' is expanded: 1,200 numbers of a storage of 1;"):
        read_checkpoint(tmp_path / "x.pth")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64, torch.bfloat16])
def test_torch_files(tmp_path, zipped, dtype):
    state = {key: tensor.to(dtype) for key, tensor in tensors().items()}
    torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(tmp_path / "x.pth")
    assert list(read) == list(state)
    for key, tensor in state.items():
        assert read[key].dtype.name == str(dtype).removeprefix("torch.")
        np.testing.assert_array_equal(read[key].astype("float64"), tensor.double().numpy())


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_views_of_shared_storages(tmp_path, zipped):
    base = torch.arange(60.0).reshape(5, 12)
    state = {
        "t": base.T,
        "column": base[:, 3],
        "part": base[1:3, 2:9:3],
        "p": torch.nn.Parameter(base),
    }
    torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(tmp_path / "x.pth")
    for key, tensor in state.items():
        np.testing.assert_array_equal(read[key], tensor.detach().numpy())


@pytest.mark.parametrize("wrapper", ["model", "state_dict", "state_dict_ema"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_training_checkpoints(tmp_path, wrapper, zipped):
    """What the official trainer saves beside the weights is read over, not run."""
    import argparse

    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    content = {
        "optimizer": optimizer.state_dict(),
        wrapper: net.state_dict(),  # an OrderedDict with versions as its attribute
        "epoch": 300,
        "args": argparse.Namespace(lr=1e-3, data=["a", None, True, 2**40, -5]),
    }
    torch.save(content, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    read = read_checkpoint(tmp_path / "x.pth")
    assert_same(read, {key: tensor.numpy() for key, tensor in net.state_dict().items()})


@pytest.mark.parametrize("averaged", ["state_dict_ema", "model_ema", "ema_state_dict"])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_of_several_state_dicts_the_averaged_is_read_and_said(tmp_path, caplog, averaged, zipped):
    """Which one is a warning, once; any of them can be named, and then nothing is said."""
    path = tmp_path / "x.pth"
    content = {"epoch": 3, "model": {"w": torch.zeros(2)}, averaged: {"w": torch.ones(2)}}
    content["teacher"] = {"w": torch.full((2,), 2.0)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    np.testing.assert_array_equal(read_checkpoint(path)["w"], [1, 1])
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{path}: {averaged} is read, and not model, teacher; `which` (--which) names another"
    )
    for which, value in (("model", 0), (averaged, 1), ("teacher", 2), ("ema", 1)):
        np.testing.assert_array_equal(read_checkpoint(path, which)["w"], [value] * 2)
    assert len(caplog.records) == 1
    with pytest.raises(CheckpointError, match=f"no state dict 'epoch'.*has model, {averaged}, tea"):
        read_checkpoint(path, "epoch")


def test_which_reaches_the_model(tmp_path):
    model = keras_pvt.classifier("pvt_nano")
    state = {key: torch.from_numpy(array) for key, array in to_torch(model).items()}
    averaged = {key: tensor + 1 for key, tensor in state.items()}
    torch.save({"model": state, "model_ema": averaged}, tmp_path / "x.pth")
    for which, added in (("ema", 1), ("model", 0)):
        load_checkpoint(model, tmp_path / "x.pth", which=which)
        for key, array in to_torch(model).items():
            np.testing.assert_allclose(array, state[key].numpy() + added, atol=1e-6)
    with pytest.raises(ValueError, match="for a file of several state dicts; got 'ema'"):
        load_checkpoint(model, dict(state), which="ema")


def test_a_file_without_averaged_weights_says_so(tmp_path):
    torch.save({"model": {"w": torch.ones(2)}, "teacher": {"w": torch.ones(2)}}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="no averaged weights in the file, which has model"):
        read_checkpoint(tmp_path / "x.pth", "ema")
    torch.save(
        {"ema": {"w": torch.zeros(2)}, "model_ema": {"w": torch.ones(2)}}, tmp_path / "x.pth"
    )
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "x.pth", "ema")["w"], [0, 0])


def test_a_state_dict_under_any_name_can_be_named(tmp_path, caplog):
    torch.save({"net": {"w": torch.ones(2)}, "epoch": 3}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"not tensors: net, epoch.*--which. may name net"):
        read_checkpoint(tmp_path / "x.pth")
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "x.pth", "net")["w"], [1, 1])
    torch.save({"w": torch.ones(2)}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="'net' in the file, which is of one piece"):
        read_checkpoint(tmp_path / "x.pth", "net")
    save_checkpoint(ARRAYS, tmp_path / "x.npz")
    with pytest.raises(
        CheckpointError, match="only torch's files have several state dicts; got which='net'"
    ):
        read_checkpoint(tmp_path / "x.npz", "net")
    assert not caplog.records


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pth"])
def test_save_and_read(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"the file before")
    save_checkpoint(ARRAYS, path)
    assert_same(read_checkpoint(path), ARRAYS)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_bfloat16_is_written_and_read(tmp_path, suffix):
    narrow = cast(ARRAYS, "bfloat16")
    save_checkpoint(narrow, tmp_path / f"x{suffix}")
    read = read_checkpoint(tmp_path / f"x{suffix}")
    assert {array.dtype for array in read.values()} == {np.dtype(ml_dtypes.bfloat16)}
    assert_same(read, narrow)


def test_torch_and_safetensors_read_ours(tmp_path):
    from safetensors.torch import load_file

    save_checkpoint(ARRAYS, tmp_path / "x.pth")
    save_checkpoint(ARRAYS, tmp_path / "x.safetensors")
    for read in (
        torch.load(tmp_path / "x.pth", weights_only=True),
        load_file(tmp_path / "x.safetensors"),
    ):
        assert {key: tensor.numpy().tolist() for key, tensor in read.items()} == {
            key: array.tolist() for key, array in ARRAYS.items()
        }


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pth"])
def test_objects_are_not_written(tmp_path, suffix):
    state = ARRAYS | {"names": np.array([{}, None])}
    with pytest.raises(ValueError, match="names: objects of Python, where numbers are written"):
        save_checkpoint(state, tmp_path / f"x{suffix}")
    assert not list(tmp_path.iterdir())


def test_compressed_npz_and_fortran_order(tmp_path):
    arrays = ARRAYS | {"f": np.asfortranarray(ARRAYS["a.weight"])}
    np.savez_compressed(tmp_path / "x.npz", **arrays)
    assert_same(read_checkpoint(tmp_path / "x.npz"), arrays)


def in_shards(folder, arrays=ARRAYS, change=lambda weight_map: None):
    """Two `.safetensors` files and their list, as transformers and huggingface_hub write them."""
    from safetensors.numpy import save_file

    weight_map = {}
    for n, key in enumerate(arrays):
        weight_map[key] = f"model-0000{n % 2 + 1}-of-00002.safetensors"
    for name in set(weight_map.values()):
        part = {key: arrays[key] for key, of in weight_map.items() if of == name}
        save_file(part, folder / name, metadata={"format": "pt"})
    change(weight_map)
    path = folder / "model.safetensors.index.json"
    content = {"metadata": {"total_size": 144}, "weight_map": weight_map}
    path.write_text(json.dumps(content, indent=2, sort_keys=True))
    return path


def test_safetensors_in_shards(tmp_path):
    path = in_shards(tmp_path)
    for given in (path, tmp_path):
        assert_same(dict(sorted(read_checkpoint(given).items())), dict(sorted(ARRAYS.items())))
    narrow = cast(ARRAYS, "bfloat16")
    for key in narrow:
        save_checkpoint({key: narrow[key]}, tmp_path / f"{key}.safetensors")
    weight_map = {key: f"{key}.safetensors" for key in narrow}
    path.write_text(json.dumps({"weight_map": weight_map}))
    assert_same(read_checkpoint(path), narrow)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.pop("scalar"), "does not have 'scalar' in 'model-00001"),
        (lambda table: table.update(more=table["scalar"]), "1 arrays of the list are in no shard"),
        (lambda table: table.update(scalar=table["a.bias"]), "does not have 'scalar' in"),
        (lambda table: table.update(scalar="../x.safetensors"), "no name of a .safetensors file"),
        (lambda table: table.update(scalar="x.weights.h5"), "no name of a .safetensors file"),
        (lambda table: table.update(scalar="absent.safetensors"), "'absent.safetensors' is not be"),
        (lambda table: table.update(scalar=3), "'3' is no name of a"),
    ],
)
def test_lists_of_safetensors_that_cannot_be(tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(in_shards(tmp_path, change=change))


def test_a_folder_needs_one_list(tmp_path):
    with pytest.raises(IsADirectoryError, match="a folder with no list of shards and no model"):
        read_checkpoint(tmp_path)
    save_checkpoint({"whole": np.ones(2, "float32")}, tmp_path / "model.safetensors")
    assert read_checkpoint(tmp_path).source == str(tmp_path / "model.safetensors")
    in_shards(tmp_path)
    (tmp_path / "other.weights.json").write_text("{}")
    with pytest.raises(IsADirectoryError, match=r"several lists of shards \(model\.saf.*other\.we"):
        read_checkpoint(tmp_path)


@pytest.mark.parametrize("start", ["ema_model.", "model_ema.module."])
@pytest.mark.parametrize("wrapper", [None, "state_dict"])
def test_averaged_weights_among_the_others(tmp_path, start, wrapper):
    plain = {f"model.{key}": tensor for key, tensor in tensors().items()}
    averaged = {f"{start}{key}": tensor for key, tensor in tensors().items()}
    both = averaged | plain
    torch.save(both if wrapper is None else {wrapper: both}, tmp_path / "x.pth")
    assert read_checkpoint(tmp_path / "x.pth").keys() == both.keys()
    assert read_checkpoint(tmp_path / "x.pth", which="ema").keys() == averaged.keys()
    torch.save(plain if wrapper is None else {wrapper: plain}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="there are no averaged weights"):
        read_checkpoint(tmp_path / "x.pth", which="ema")


def test_a_pointer_of_git_lfs_is_told(tmp_path):
    (tmp_path / "x.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(CheckpointError, match="a pointer of Git LFS, and not the file itself"):
        read_checkpoint(tmp_path / "x.pth")


def test_a_name_on_a_hub_is_no_file():
    with pytest.raises(FileNotFoundError, match="constructor takes a name on a hub"):
        read_checkpoint("hf://someone/pvt")


def test_torch_is_not_needed(tmp_path):
    """Reading and writing in a process that cannot import torch."""
    torch.save(tensors(), tmp_path / "x.pth")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from keras_pvt.conversion import read_checkpoint, save_checkpoint\n"
        f"state = read_checkpoint({str(tmp_path / 'x.pth')!r})\n"
        f"save_checkpoint(state, {str(tmp_path / 'y.safetensors')!r})\n"
        f"try: save_checkpoint(state, {str(tmp_path / 'y.pth')!r})\n"
        "except ImportError as error: print(error)\n"
        "assert 'pickle' not in vars(sys.modules['keras_pvt.conversion.readers.unpickle'])\n"
    )
    backend = "jax" if keras.backend.backend() == "torch" else keras.backend.backend()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": backend},
    )
    assert done.returncode == 0, done.stderr
    assert "keras-pvt[torch]" in done.stdout
    assert not (tmp_path / "y.pth").exists()
    assert_same(read_checkpoint(tmp_path / "y.safetensors"), ARRAYS)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"the file before")
    with pytest.raises(ValueError, match="cannot hold bfloat16"):
        save_checkpoint(cast(ARRAYS, "bfloat16"), path)
    assert path.read_bytes() == b"the file before"
    assert len(list(tmp_path.iterdir())) == 1


def test_unknown_suffix(tmp_path):
    with pytest.raises(ValueError, match=r"\.safetensors, \.npz, \.pth"):
        save_checkpoint(ARRAYS, tmp_path / "x.bin")


def test_cast_refuses_what_it_would_lose():
    with pytest.raises(ValueError, match="'w' has values too large for float16"):
        cast({"w": np.array([1e6], "float32")}, "float16")


def safetensors(header, data=b"", length=None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def npz(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy(array, **kwargs) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **kwargs)
    return file.getvalue()


def one(**facts):
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **facts}}


DAMAGED = {
    "empty": (b"", "empty"),
    "web page": (b"<!DOCTYPE html><html>", "not a checkpoint: it begins with b'<!DOCTYPE html>"),
    "other zip": (npz()[:0] + npz(x=b"")[:-10], "damaged"),
    "safetensors long header": (safetensors({}, length=2**63), "cut off, or far too long"),
    "safetensors no JSON": (safetensors(b"{oops"), "damaged"),
    "safetensors deep JSON": (safetensors(b'{"a":' + b"[" * 100_000), "damaged"),
    "safetensors twice": (safetensors(b'{"w":{},"w":{}}'), "twice"),
    "safetensors no facts": (safetensors({"w": 3}), "wrongly"),
    "safetensors dtype": (safetensors(one(dtype="F8_E4M3"), bytes(8)), "unknown dtype"),
    "safetensors shape": (safetensors(one(shape=[3]), bytes(8)), "past the end"),
    "safetensors size": (safetensors(one(shape=[1]), bytes(8)), "has 8 bytes, not 4"),
    "safetensors negative": (safetensors(one(shape=[-1, -2]), bytes(8)), "shape"),
    "safetensors huge": (safetensors(one(shape=[2**31 - 1] * 8), bytes(8)), "past the end"),
    "safetensors offsets": (safetensors(one(data_offsets=[8, 0]), bytes(8)), "places"),
    "safetensors rest": (safetensors(one(), bytes(9)), "data has 9 bytes, not 8"),
    "safetensors overlap": (
        safetensors({**one(), "v": one()["w"]}, bytes(8)),
        "overlap",
    ),
    "npz objects": (npz(x=npy(np.array([{}, None]), allow_pickle=True)), "dtype object"),
    "npz header": (npz(x=b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16), "damaged header"),
    "npz shape": (
        npz(x=npy(np.zeros(4)).replace(b"(4,)", b"(9,)")),
        "past the end",
    ),
    "zip bomb": (npz(x=bytes(50_000_000)), "inflates to 50,000,000 bytes"),
    "shards": (b'{\n    "weight_map": ', "list of shards is damaged"),
    "h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5 file is damaged"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_end_in_one_clear_error(tmp_path, case):
    content, message = DAMAGED[case]
    path = tmp_path / "x.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as raised:
        read_checkpoint(path)
    assert message in str(raised.value)
    assert str(path) in str(raised.value)
    assert len(str(raised.value)) < 400
    assert "\n" not in str(raised.value)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(IsADirectoryError):
        read_checkpoint(tmp_path)
