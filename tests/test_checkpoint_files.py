"""Reading and writing every kind of file, and what damaged files end in."""

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


def assert_same(read, arrays):
    assert read.keys() == arrays.keys()
    for key, array in arrays.items():
        assert read[key].dtype == array.dtype
        np.testing.assert_array_equal(read[key], array)


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


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_keras_files(tmp_path, suffix, dtype):
    """Variables go by the names of layers, whatever counters Keras files them under."""
    policy = keras.dtype_policies.get(dtype)
    path = tmp_path / f"m{suffix}"
    image = keras.Input((8, 8, 12))
    maps = keras.layers.Dense(12, name="other")(image)
    block = keras_pvt.layers.EncoderBlock(
        12, 2, sr_ratio=2, drop_path_rate=0.1, dtype=policy, name="stage2_block1"
    )
    model = keras.Model(image, block(maps))
    (model.save if suffix == ".keras" else model.save_weights)(path)
    read = read_checkpoint(path)
    assert len(read) == len([v for v in model.variables if "seed_generator" not in v.path])
    stored = read["stage2_block1/attention/sr/0"]
    assert stored.dtype.name == dtype
    np.testing.assert_array_equal(
        stored.astype("float32"),
        keras.ops.convert_to_numpy(block.attention.sr.kernel.value).astype("float32"),
    )


def test_shards_are_read_as_one_file(tmp_path):
    """As `save_weights` cuts them: a layer's variables may lie in two of them."""
    image = keras.Input((8, 8, 12))
    block = keras_pvt.layers.EncoderBlock(12, 2, sr_ratio=2, name="stage2_block1")
    model = keras.Model(image, block(keras.layers.Dense(12, name="other")(image)))
    model.save_weights(tmp_path / "whole.weights.h5")
    model.save_weights(tmp_path / "cut.weights.json", max_shard_size=4e-6)  # GB
    shards = list(tmp_path.glob("cut_*.weights.h5"))
    assert len(shards) >= 3
    index = json.loads((tmp_path / "cut.weights.json").read_text())
    assert any(isinstance(files, list) for files in index["weight_map"].values())
    assert_same(
        read_checkpoint(tmp_path / "cut.weights.json"),
        dict(sorted(read_checkpoint(tmp_path / "whole.weights.h5").items())),
    )
    shards[1].unlink()
    with pytest.raises(CheckpointError, match=f"the shard {shards[1].name!r} is not beside"):
        read_checkpoint(tmp_path / "cut.weights.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weight_map": {}}, "no `weight_map`"),
        ({"model_type": "pvt_v2"}, "no list of shards, as it has no `weight_map`: give the file"),
        ({"weight_map": {"/a": "../x.weights.h5"}}, "no name of a .weights.h5 file beside it"),
        ({"weight_map": {"/a": ["x.weights.h5", 3]}}, "'3' is no name of a .weights.h5 file"),
        ({"weight_map": {"/a": "x.pth"}}, "'x.pth' is no name of a .weights.h5 file"),
        ({"weight_map": {"/a": [f"{n}.weights.h5" for n in range(1001)]}}, "lists 1,001 files"),
        ({"weight_map": {"/a": "x.weights.h5"}}, "the shard 'x.weights.h5' is not beside"),
    ],
)
def test_lists_of_shards_that_cannot_be(tmp_path, content, message):
    (tmp_path / "m.weights.json").write_text(json.dumps(content, indent=4))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "m.weights.json")


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


@pytest.mark.parametrize("how", ["soft", "external", "external data", "virtual", "compressed"])
def test_h5_files_that_reach_elsewhere(tmp_path, how):
    import h5py

    (tmp_path / "secret").write_bytes(b"sixteen bytes !!")
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        group = file.create_group("layers/dense/vars")
        if how == "soft":
            group["0"] = h5py.SoftLink("/layers")
        elif how == "external":
            group["0"] = h5py.ExternalLink("other.h5", "/x")
        elif how == "external data":
            group.create_dataset("0", (4,), "float32", external=[(tmp_path / "secret", 0, 16)])
        elif how == "virtual":
            layout = h5py.VirtualLayout((2,), "float32")
            layout[:] = h5py.VirtualSource("other.h5", "x", (2,))
            group.create_virtual_dataset("0", layout)
        else:
            group.create_dataset("0", data=np.zeros(1000), compression="gzip")
    with pytest.raises(CheckpointError, match=r"elsewhere|no plain array|compressed"):
        read_checkpoint(tmp_path / "m.weights.h5")


def test_h5_numbers_that_numpy_does_not_have(tmp_path):
    """h5py calls a float of two bytes with bfloat16's exponent float32, and a note of bfloat16 at
    other numbers is not believed."""
    import h5py

    path = tmp_path / "m.weights.h5"
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_precision(16)
    kind.set_size(2)
    kind.set_ebias(127)
    space = h5py.h5s.create_simple((4,))
    with h5py.File(path, "w") as file:
        group = file.create_group("layers/dense/vars")
        dataset = h5py.h5d.create(group.id, b"0", kind, space)
        dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(4, dtype="float32"))
    with pytest.raises(CheckpointError, match="dtype float32, in 2 bytes, not plain numbers"):
        read_checkpoint(path)
    halves = np.arange(4, dtype="float16")
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = halves
        file["layers/dense/vars/0"].attrs["dtype"] = "bfloat16"
    np.testing.assert_array_equal(read_checkpoint(path)["dense/0"], halves)


@pytest.mark.parametrize("kind", ["bool", "int16", "uint64", ">f4"])
def test_h5_dtypes(tmp_path, kind):
    import h5py

    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.arange(4).astype(kind)
    if kind == ">f4":
        with pytest.raises(CheckpointError, match="dtype >f4"):
            read_checkpoint(tmp_path / "m.weights.h5")
    else:
        found = read_checkpoint(tmp_path / "m.weights.h5")["dense/0"]
        assert found.dtype == kind
        np.testing.assert_array_equal(found, np.arange(4).astype(kind))


def test_h5_groups_that_have_two_names(tmp_path):
    """Another layer's variables, and a group that is inside itself."""
    import h5py

    for name, again in (
        ("layers/b/vars", "layers/a/vars"), ("layers/a/inner", "layers/a"), ("layers/b/vars", "/"),
    ):  # fmt: skip
        with h5py.File(tmp_path / "m.weights.h5", "w") as file:
            file["layers/a/vars/0"] = np.zeros(1, "float32")
            file[name] = file[again]
        with pytest.raises(CheckpointError, match=f"has '{again}' again, as '{name}'"):
            read_checkpoint(tmp_path / "m.weights.h5")


def test_h5_files_of_many_and_deep_groups(tmp_path, monkeypatch):
    import h5py

    from keras_pvt.conversion.readers import keras_files

    monkeypatch.setattr(keras_files, "MAX_OBJECTS", 23)
    for groups, arrays, depth in ((1, 20, 0), (1, 21, 0), (5, 2, 0), (1, 1, 13), (1, 1, 14)):
        with h5py.File(tmp_path / "m.weights.h5", "w") as file:
            for group in range(groups):
                for number in range(arrays):
                    place = "/".join(("layers", *"x" * depth, f"layer{group}", "vars", str(number)))
                    file[place] = np.zeros(1, "float32")
        if arrays == 21 or depth == 14:
            with pytest.raises(CheckpointError, match="too many groups"):
                read_checkpoint(tmp_path / "m.weights.h5")
        else:
            assert len(read_checkpoint(tmp_path / "m.weights.h5")) == groups * arrays


def test_h5_deep_groups_that_hold_no_weights(tmp_path):
    """They are not read, and do not keep the rest from being read."""
    import h5py

    deep = "/".join(["layers", *"x" * 8])
    with h5py.File(tmp_path / "m.weights.h5", "w") as file:
        for group in (deep, f"{deep}/dropout/seed_generator", "optimizer/a/b/c/d/e/f/g/h/i/j"):
            file[f"{group}/vars/0"] = np.zeros(1, "float32")
    assert list(read_checkpoint(tmp_path / "m.weights.h5")) == ["x/0"]


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("layers/b/vars", "'layers/b/vars' of the HDF5 file is no group"),
        ("layers/b", "'layers/b' of the HDF5 file is no group"),
        ("b", "'b' of the HDF5 file is no group"),
        ("layers/b/vars/kernel", "has 'layers/b/vars/kernel', and Keras numbers variables"),
        ("layers/" + "b" * 1000, "long names"),
    ],
)
def test_h5_arrays_that_no_layer_has_in_its_place(path, told, tmp_path):
    """They would be left out in silence."""
    import h5py

    file = tmp_path / "m.weights.h5"
    with h5py.File(file, "w") as opened:
        opened["layers/a/vars/0"] = np.zeros(1, "float32")
        opened[path] = np.zeros(1, "float32")
    with pytest.raises(CheckpointError, match=told):
        read_checkpoint(file)


def test_h5_names_of_layers_that_are_too_long(tmp_path):
    """Every variable of the layer repeats it."""
    import h5py

    file = tmp_path / "m.weights.h5"
    with h5py.File(file, "w") as opened:
        opened["layers/a/vars/0"] = np.zeros(1, "float32")
        opened["layers/a/vars"].attrs["name"] = "a" * 1001
    with pytest.raises(CheckpointError, match=r"name of a layer is too long: 'a{80}'"):
        read_checkpoint(file)


def test_h5_shards_where_one_has_an_array_for_a_group(tmp_path):
    import h5py

    for number, path in enumerate(("layers/a/vars/0", "layers/a/vars")):
        with h5py.File(tmp_path / f"m_{number}.weights.h5", "w") as file:
            file[path] = np.zeros(1, "float32")
    names = {f"layers/a/{number}": f"m_{number}.weights.h5" for number in range(2)}
    listed = tmp_path / "m.weights.json"
    listed.write_text(json.dumps({"metadata": {"total_size": 8}, "weight_map": names}))
    with pytest.raises(CheckpointError, match="'layers/a/vars' of the HDF5 file is no group"):
        read_checkpoint(listed)


@pytest.mark.parametrize(
    ("path", "names", "told"),
    [
        ("b", [], "'b' of the HDF5 file is no group"),
        ("b/b/kernel:0", None, "no 'weight_names' of 'b'"),
        ("b/b/kernel:0", [], "no 'weight_names' of 'b'"),
        ("b/b/kernel:0", [b"b/kernel:0"] * 2, "'weight_names' of 'b' has a variable twice"),
        ("b/b/kernel:0", [b"b/bias:0"], "no array 'b/b/bias:0'"),
    ],
)
def test_h5_of_keras_2_that_is_damaged(path, names, told, tmp_path):
    import h5py

    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["layer_names"] = [b"a", b"b"]
        file["a/a/kernel:0"] = file[path] = np.zeros(1, "float32")
        file["a"].attrs["weight_names"] = [b"a/kernel:0"]
        file.create_group("c/relu")  # a layer without weights, with / in its name
        if names is not None:
            file["b"].attrs["weight_names"] = names
    with pytest.raises(CheckpointError, match=told):
        read_checkpoint(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        del file["b"]
    assert list(read_checkpoint(tmp_path / "m.h5")) == ["a/0"]
