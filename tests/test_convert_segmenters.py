"""Checkpoints of segmentation models are recognised, built and converted both ways."""

import argparse

import keras
import numpy as np
import pytest
import recipe
from conftest import assert_same, perturb

import keras_pvt
from keras_pvt import systems
from keras_pvt.cli import convert as command
from keras_pvt.conversion import (
    CheckpointError,
    model_from_checkpoint,
    read_checkpoint,
    save_checkpoint,
    to_torch,
)
from keras_pvt.conversion.recognise import recognised, system_of_state, trunk
from keras_pvt.detection import RetinaNet
from keras_pvt.exporting.sources import load
from keras_pvt.segmentation import SemanticFPN, Trans2Seg

pytestmark = pytest.mark.one_backend("moves arrays of weights")

# Widths that no published model has, and all of them unequal.
MODELS = {
    "semantic_fpn": lambda: SemanticFPN(
        keras_pvt.PVTBackbone("pvt_nano"), num_classes=5, neck_width=24, head_width=12
    ),
    "trans2seg": lambda: Trans2Seg(
        keras_pvt.PVTBackbone("pvt_nano", (64, 64, 3)),
        num_classes=5,
        skip_level="P3",
        embed_dim=12,
        depth=3,
        num_heads=4,
        mlp_ratio=2,
        head_width=7,
    ),
    "retinanet": lambda: RetinaNet(
        keras_pvt.PVTBackbone("pvt_nano"), num_classes=5, neck_width=24, head_depth=2
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    model = MODELS[request.param]()
    perturb(model)
    return model


def run(*words, model=None) -> int:
    """The command; of a model whose file does not say what no weight tells, with that."""
    if model is not None and systems.of_model(model).untold:
        words = (*words, "--set", "anchor_side=4")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([*map(str, words)]))


def own_config(model):
    """Without names and what is not in the weights."""
    config = model.get_config()
    config.pop("backbone")
    return config


@pytest.mark.parametrize("suffix", [".pth", ".weights.h5", ".keras"])
def test_both_ways(model, suffix, tmp_path, capsys):
    source, there, back = (tmp_path / name for name in ("a.npz", f"b{suffix}", "c.npz"))
    save_checkpoint({f"module.{key}": array for key, array in to_torch(model).items()}, source)
    assert run(source, there, model=model) == 0
    assert f"{model.system} on pvt_nano" in capsys.readouterr().out
    assert run(there, back, model=model) == 0
    assert_same(read_checkpoint(back), to_torch(model))


def test_the_model_is_told_from_its_weights(model, rng):
    found = recognised(dict(to_torch(model)))  # the arrays alone
    assert (found.system, found.variant) == (model.system, "pvt_nano")
    untold = dict.fromkeys(systems.of_model(model).untold, 4.0)
    again, _ = model_from_checkpoint(found, options=untold)
    assert own_config(again) == own_config(model)
    assert again.input_shape == model.input_shape


def test_keras_file_is_loaded_as_the_same_model(model, tmp_path, rng):
    save_checkpoint(to_torch(model), tmp_path / "a.npz")
    run(tmp_path / "a.npz", tmp_path / "b.keras", model=model)
    again = keras.saving.load_model(tmp_path / "b.keras", compile=False)
    images = rng.standard_normal((1, 64, 64, 3)).astype("float32")
    outputs = (keras.tree.flatten(m(images)) for m in (model, again))
    for expected, found in zip(*outputs, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (found, expected)))


def test_published_widths():
    for name, options in (
        ("semantic_fpn_pvt_tiny", {"num_classes": 150, "neck_width": 256, "head_width": 128}),
        (
            "trans2seg_pvt_tiny_128",
            {"num_classes": 5, "skip_level": "P2", "embed_dim": 256, "depth": 4, "num_heads": 8}
            | {"mlp_ratio": 3, "head_width": 64},
        ),
    ):
        found = recognised(recipe.dense_state_dict(name))
        assert found.variant == "pvt_tiny"
        again, _ = model_from_checkpoint(found)
        assert own_config(again).items() >= options.items()
    assert again.input_shape == (None, 128, 128, 3)


def test_no_skip_and_a_rectangle():
    backbone = keras_pvt.PVTBackbone("pvt_nano", (64, 96, 3))
    model = Trans2Seg(backbone, 3, skip_level=None, embed_dim=8, depth=1, num_heads=2)
    state = dict(to_torch(model))
    with pytest.raises(CheckpointError, match=r"24 cells of 16 x 16 pixels, which is no square"):
        model_from_checkpoint(recognised(state))
    with pytest.raises(CheckpointError, match=r"a size of 64x128 has 4x8"):
        model_from_checkpoint(recognised(state), size=(64, 128))
    again, _ = model_from_checkpoint(recognised(state), size=(64, 96))
    assert own_config(again) == own_config(model)
    assert again.input_shape == (None, 64, 96, 3)


def test_strict(model, tmp_path, capsys):
    state = to_torch(model)
    gone = [key for key in state if key.endswith("weight")][-3]
    del state[gone]
    save_checkpoint(state, tmp_path / "a.npz")
    with pytest.raises(CheckpointError, match=rf"{gone}"):
        run(tmp_path / "a.npz", tmp_path / "b.keras", model=model)
    extra = to_torch(model) | {"auxiliary_head.conv_seg.bias": np.zeros(3, "float32")}
    save_checkpoint(extra, tmp_path / "a.npz")
    with pytest.raises(CheckpointError, match="1 unexpected: auxiliary_head"):
        run(tmp_path / "a.npz", tmp_path / "b.keras", model=model)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]
    save_checkpoint(to_torch(model), tmp_path / "a.npz")
    with pytest.raises(ValueError, match="use the official layout"):
        run(tmp_path / "a.npz", tmp_path / "b.npz", "--layout", "huggingface", model=model)


def test_backbone_out_of_a_segmenter(model, tmp_path, rng):
    """Also of a Keras file, whose layers have no prefix."""
    model.save_weights(tmp_path / "a.weights.h5")
    save_checkpoint(to_torch(model), tmp_path / "a.npz")
    images = rng.standard_normal((1, 64, 64, 3)).astype("float32")
    expected = keras.Model(model.input, model.get_layer("stage4_block0").output)(images)
    for name in ("a.weights.h5", "a.npz"):
        backbone = keras_pvt.PVTBackbone("pvt_nano", weights=str(tmp_path / name))
        found, want = (keras.ops.convert_to_numpy(x) for x in (backbone(images), expected))
        np.testing.assert_allclose(found, want.reshape(found.shape), atol=1e-6)
        features, size, _ = load(str(tmp_path / name), features=True)
        assert size == (32, 32)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(features(images)), found, atol=1e-6)


def test_others_are_no_segmenters():
    classifier = to_torch(keras_pvt.PVTNano(weights=None))
    assert system_of_state(classifier) is None
    detector = {f"backbone.{key}": array for key, array in classifier.items()}
    detector["neck.lateral_convs.0.conv.bias"] = np.zeros(2)
    assert system_of_state(detector) is None
    assert trunk(detector)[1] == ["neck.lateral_convs.0.conv.bias"]
