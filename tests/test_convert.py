"""Weights into models and out of them; what does not fit, and what a rule makes fit."""

import keras
import numpy as np
import pytest
from conftest import TINY, assert_same, perturb, values

import keras_pvt
from keras_pvt import families
from keras_pvt.conversion import (
    CheckpointError,
    cast,
    differences,
    load_checkpoint,
    save_checkpoint,
    to_torch,
)
from keras_pvt.conversion.fit import Fit, resized_positions
from keras_pvt.conversion.recognise import likely_variant
from keras_pvt.variants import VARIANTS

pytestmark = pytest.mark.one_backend("moves arrays of weights")


@pytest.fixture(scope="module")
def model():
    return keras_pvt.classifier(TINY)


@pytest.fixture(scope="module")
def pyramid():
    return keras_pvt.PVTBackbone(TINY)


@pytest.fixture(scope="module")
def state(model):
    perturb(model)
    return to_torch(model)


@pytest.fixture
def other(model):
    """The same architecture with other values, so that a load shows."""
    for variable in model.variables:
        variable.assign(np.full(variable.shape, 0.25, "float32"))
    return model


def assert_untouched(model):
    assert all((array == 0.25).all() for array in values(model).values())


@pytest.mark.parametrize("layout", ["official", "huggingface"])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pth"])
def test_round_trip_is_exact(tmp_path, other, state, layout, suffix):
    load_checkpoint(other, state)
    save_checkpoint(to_torch(other, layout), tmp_path / f"x{suffix}")
    for variable in other.variables:
        variable.assign(np.full(variable.shape, 0.25, "float32"))
    report = load_checkpoint(other, tmp_path / f"x{suffix}")
    assert not report.notices
    assert not report.skipped
    assert list(to_torch(other)) == list(state)
    assert_same(to_torch(other), state)


def test_huggingface_splits_keys_from_values(other, state):
    load_checkpoint(other, state)
    apart = to_torch(other, "huggingface")
    both = state["block2.1.attn.kv.weight"]
    name = "pvt.encoder.block.1.1.attention.self"
    np.testing.assert_array_equal(apart[f"{name}.key.weight"], both[:12])
    np.testing.assert_array_equal(apart[f"{name}.value.weight"], both[12:])


def test_exported_arrays_are_copies(other):
    exported = to_torch(other)
    other.get_layer("norm").gamma.assign(np.full(28, 3.0, "float32"))
    assert (exported["norm.weight"] == 0.25).all()
    exported["head.bias"][:] = 9  # writable
    assert (values(other)["head/bias"] == 0.25).all()


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "module.backbone."])
def test_prefixes(other, state, prefix):
    load_checkpoint(other, {f"{prefix}{key}": array for key, array in state.items()})
    assert_same(to_torch(other), state)


def test_bare_huggingface_trunk(other, pyramid, state):
    """PvtModel's keys lack the `pvt.` of PvtForImageClassification, and have no head."""
    load_checkpoint(other, state)
    bare = {
        key.removeprefix("pvt."): array
        for key, array in to_torch(other, "huggingface").items()
        if key.startswith("pvt.")
    }
    load_checkpoint(pyramid, bare)
    assert not differences(pyramid, state)
    report = load_checkpoint(other, bare, new_head=True)
    assert report.notices == ["the checkpoint has no head: the new head of 7 classes is untrained"]


def test_detector_checkpoint(pyramid, state):
    detector = {f"backbone.{key}": array for key, array in to_torch(pyramid).items()}
    detector["neck.fpn.weight"] = np.zeros(3, "float32")
    report = load_checkpoint(pyramid, detector)
    assert report.skipped["neck.fpn.weight"] == "not part of the backbone"


def test_pyramid_takes_a_classifier(pyramid, state):
    report = load_checkpoint(pyramid, state)
    assert set(report.skipped) == {
        "pos_embed4",
        "cls_token",
        "norm.weight",
        "norm.bias",
        "head.weight",
        "head.bias",
    }
    assert not report.notices
    exported = to_torch(pyramid)
    assert list(exported) == [
        key for key in state if key.split(".")[0] not in ("cls_token", "norm", "head")
    ]
    assert not exported["pos_embed4"][:, 0].any()
    np.testing.assert_array_equal(exported["pos_embed4"][:, 1:], state["pos_embed4"][:, 1:])
    load_checkpoint(pyramid, exported)
    with pytest.raises(ValueError, match="no PVT without a head"):
        to_torch(pyramid, "huggingface")
    with pytest.raises(ValueError, match="official, huggingface"):
        to_torch(pyramid, "timm")


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_keras_files_into_other_models(tmp_path, other, pyramid, state, suffix):
    """Saved from the classifier; read by it and by a pyramid with other layers about."""
    load_checkpoint(other, state)
    path = tmp_path / f"m{suffix}"
    (other.save if suffix == ".keras" else other.save_weights)(path)
    report = load_checkpoint(pyramid, path)
    assert len(report.skipped) == 6
    assert not differences(pyramid, state)
    trunk = keras_pvt.classifier(
        TINY, include_top=False, pooling="token", drop_rate=0.1, drop_path_rate=0.2
    )
    assert set(load_checkpoint(trunk, path).skipped) == {"head/0", "head/1"}
    assert not differences(trunk, state)


def test_all_problems_in_one_error(other, state):
    broken = dict(state)
    del broken["block1.0.attn.q.weight"], broken["norm.bias"]
    broken |= {
        "block3.2.norm1.weight": np.ones(20, "float32"),
        "block2.0.mlp.fc1.weight": state["block2.0.mlp.fc1.weight"].T,
        "block2.0.mlp.fc1.bias": state["block2.0.mlp.fc1.bias"].astype("int64"),
        "pos_embed2": state["pos_embed2"][:, :-1],
        "patch_embed3.proj.bias": np.full(20, np.nan, "float32"),
        "block4.0.norm1.bias": np.array([*range(27), -np.inf], "float32"),
    }
    with pytest.raises(CheckpointError) as raised:
        load_checkpoint(other, broken)
    assert str(raised.value) == (
        "the state dict does not fit model 'pvt':\n"
        "  2 missing: block1.0.attn.q.weight; norm.bias\n"
        "  1 unexpected: block3.2.norm1.weight\n"
        "  3 mis-shaped: pos_embed2 (1, 63, 12) for (1, 64, 12); block2.0.mlp.fc1.weight "
        "(12, 24) for (24, 12); block2.0.mlp.fc1.bias int64 (24,) for (24,)\n"
        "  2 infinite or NaN: patch_embed3.proj.bias; block4.0.norm1.bias"
    )
    assert_untouched(other)


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_are_told_from_shapes(other, name):
    shapes = families.named(VARIANTS[name].family).load("shapes")(VARIANTS[name])
    zero = np.float32(0)
    checkpoint = {key: np.broadcast_to(zero, shape) for key, shape in shapes.items()}
    checkpoint.pop("block1.0.norm2.bias")  # nearly whole is enough
    assert likely_variant(checkpoint) == name
    with pytest.raises(CheckpointError, match=f"this looks like {name}"):
        load_checkpoint(other, checkpoint)
    assert_untouched(other)
    assert likely_variant({key: array for key, array in checkpoint.items() if "1" in key}) is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes_of_checkpoints(other, state, dtype):
    checkpoint = cast(state, dtype)
    load_checkpoint(other, checkpoint)
    assert not differences(other, checkpoint)
    assert_same(to_torch(other), {k: a.astype("float32") for k, a in checkpoint.items()})


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_dtypes_of_models(state, dtype):
    """Half-precision variables; on every backend Keras narrows bfloat16 itself."""
    half = keras_pvt.PVTBackbone(TINY, dtype=dtype)
    load_checkpoint(half, state)
    name = "block2.0.mlp.fc1.weight"
    exported = to_torch(half)[name].astype("float32")
    np.testing.assert_array_equal(exported, cast({"w": state[name]}, dtype)["w"].astype("float32"))


def test_too_large_for_the_model(other, state):
    wide = {**cast(state, "float64")}
    wide["norm.bias"] = np.full(28, 1e200)
    with pytest.raises(CheckpointError, match=r"1 infinite or NaN: norm\.bias"):
        load_checkpoint(other, wide)
    large = dict(state)
    large["norm.bias"] = np.full(28, 3e38, "float32")  # finite, though its sum is not
    load_checkpoint(other, large)
    assert (values(other)["norm/beta"] == np.float32(3e38)).all()


def test_resizing_is_asked_for(other, state):
    grid = state["pos_embed2"].reshape(8, 8, 12)
    small = resized_positions(grid[None], 5, 5).reshape(1, 25, 12).astype("float32")
    checkpoint = {**state, "pos_embed2": small}
    with pytest.raises(CheckpointError, match=r"pos_embed2 \(1, 25, 12\) for \(1, 64, 12\)"):
        load_checkpoint(other, checkpoint)
    assert_untouched(other)
    report = load_checkpoint(other, checkpoint, resize_positions=True)
    assert report.notices == ["position tables resized: stage2 5x5 to 8x8 cells"]
    wanted = resized_positions(small.reshape(1, 5, 5, 12), 8, 8)
    np.testing.assert_array_equal(values(other)["stage2_position/table"], wanted.astype("float32"))


@pytest.mark.parametrize(("height", "width"), [(7, 3), (3, 9), (5, 4), (1, 1), (14, 10)])
def test_resize_is_torch_s(rng, height, width):
    import torch

    table = rng.standard_normal((1, 5, 4, 3))
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(table).permute(0, 3, 1, 2), (height, width), mode="bilinear"
    )
    ours = resized_positions(table, height, width)
    np.testing.assert_allclose(ours, theirs.permute(0, 2, 3, 1).numpy(), atol=1e-13)


def test_new_head_is_asked_for(other, state):
    checkpoint = {
        **state,
        "head.weight": np.zeros((10, 28), "float32"),
        "head.bias": np.zeros(10, "float32"),
    }
    with pytest.raises(CheckpointError, match=r"head\.weight \(10, 28\) for \(7, 28\)"):
        load_checkpoint(other, checkpoint)
    report = load_checkpoint(other, checkpoint, new_head=True)
    assert report.notices == [
        "the head of 7 classes is new and untrained; the checkpoint's has 10, and classes=10 "
        "takes the checkpoint's"
    ]
    assert set(report.skipped) == {"head.weight", "head.bias"}
    assert (values(other)["head/kernel"] == 0.25).all()
    np.testing.assert_array_equal(values(other)["norm/gamma"], state["norm.weight"])
    load_checkpoint(other, state, new_head=True)  # fits: is used
    np.testing.assert_array_equal(values(other)["head/bias"], state["head.bias"])
    # A head of the right classes from a narrower model is no new head.
    narrow = {**state, "head.weight": np.zeros((7, 20), "float32")}
    with pytest.raises(CheckpointError, match=r"head\.weight \(7, 20\) for \(7, 28\)"):
        load_checkpoint(other, narrow, new_head=True)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_channels_are_adapted_when_asked(state, channels):
    gray = keras_pvt.PVTBackbone(TINY, input_shape=(None, None, channels))
    with pytest.raises(CheckpointError, match=r"patch_embed1.proj.weight \(8, 3, 4, 4\)"):
        load_checkpoint(gray, state)
    report = load_checkpoint(gray, state, adapt_channels=True)
    assert report.notices == [
        f"the first convolution was adapted from RGB to {channels} input channels"
    ]
    rgb = state["patch_embed1.proj.weight"]
    ours = to_torch(gray)["patch_embed1.proj.weight"]
    if channels == 1:
        np.testing.assert_allclose(ours[:, 0], rgb.sum(axis=1), rtol=1e-5, atol=1e-6)
    else:
        for channel in range(channels):
            np.testing.assert_allclose(
                ours[:, channel], rgb[:, channel % 3] * (3 / channels), rtol=1e-6
            )


def test_a_model_that_is_no_pvt(state):
    with pytest.raises(ValueError, match="not a PVT"):
        load_checkpoint(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), state)


def test_differences_finds_one_number(other, state):
    load_checkpoint(other, state)
    assert differences(other, state) == []
    bias = other.get_layer("stage3_block1").feed_forward.fc2.bias
    bias.assign(values(other)[bias.path] + np.eye(20, dtype="float32")[3] * 1e-6)
    assert differences(other, state) == ["stage3_block1/feed_forward/fc2/bias"]
    with pytest.raises(CheckpointError, match=r"1 missing: norm\.bias"):
        differences(other, {k: a for k, a in state.items() if k != "norm.bias"})


def test_mapping_takes_no_memory(other, state):
    """Until the model takes them, values are views of the checkpoint."""
    fit = Fit(other, state)
    shared = [any(np.shares_memory(v, a) for a in state.values()) for v in fit.values.values()]
    assert all(shared)
