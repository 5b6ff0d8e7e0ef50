"""Keras's files of weights: one HDF5 file, its shards, and the one in a `.keras` archive; what of
HDF5 is refused, and what damaged files end in."""

import json

import keras
import numpy as np
import pytest
from conftest import assert_same

import keras_pvt
from keras_pvt.conversion import CheckpointError, read_checkpoint

pytestmark = pytest.mark.one_backend("reads arrays")


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


@pytest.mark.parametrize("how", ["soft", "external", "external data", "virtual", "compressed"])
def test_files_that_reach_elsewhere(tmp_path, how):
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


def test_numbers_that_numpy_does_not_have(tmp_path):
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
def test_dtypes(tmp_path, kind):
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


def test_groups_that_have_two_names(tmp_path):
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


def test_files_of_many_and_deep_groups(tmp_path, monkeypatch):
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


def test_deep_groups_that_hold_no_weights(tmp_path):
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
def test_arrays_that_no_layer_has_in_its_place(path, told, tmp_path):
    """They would be left out in silence."""
    import h5py

    file = tmp_path / "m.weights.h5"
    with h5py.File(file, "w") as opened:
        opened["layers/a/vars/0"] = np.zeros(1, "float32")
        opened[path] = np.zeros(1, "float32")
    with pytest.raises(CheckpointError, match=told):
        read_checkpoint(file)


def test_names_of_layers_that_are_too_long(tmp_path):
    """Every variable of the layer repeats it."""
    import h5py

    file = tmp_path / "m.weights.h5"
    with h5py.File(file, "w") as opened:
        opened["layers/a/vars/0"] = np.zeros(1, "float32")
        opened["layers/a/vars"].attrs["name"] = "a" * 1001
    with pytest.raises(CheckpointError, match=r"name of a layer is too long: 'a{80}'"):
        read_checkpoint(file)


def test_shards_where_one_has_an_array_for_a_group(tmp_path):
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
def test_of_keras_2_that_is_damaged(path, names, told, tmp_path):
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


def test_lists_of_names_are_no_longer_than_a_layer_needs(tmp_path):
    """Each name is a pointer: a short file could have one long text in it again and again."""
    import h5py

    path = tmp_path / "m.h5"
    for count in (64, 65):
        names = [f"dense/{n}:0".encode() for n in range(count)]
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = [b"dense"] * 1000
            for name in names:
                file[f"dense/{name.decode()}"] = np.ones(2, "float32")
            file["dense"].attrs["weight_names"] = names
        if count == 64:
            assert len(read_checkpoint(path)) == 64
    with pytest.raises(CheckpointError, match="a list 'weight_names' of 65 texts"):
        read_checkpoint(path)
