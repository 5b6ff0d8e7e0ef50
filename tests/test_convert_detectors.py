"""`keras-pvt convert` of detectors: layouts, and checkpoints that are another model's."""

import argparse

import numpy as np
import pytest
from conftest import assert_same, perturb, values

import keras_pvt
from keras_pvt.cli import convert as command
from keras_pvt.conversion import (
    CheckpointError,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    to_torch,
)
from keras_pvt.detection import DETR, MaskRCNN, RetinaNet

pytestmark = pytest.mark.one_backend("moves arrays of weights")


@pytest.fixture(scope="module")
def detr():
    model = DETR(
        keras_pvt.PVTBackbone("pvt_nano"),
        num_classes=5,
        num_queries=7,
        embed_dim=24,
        depth=1,
        num_heads=3,
        hidden_dim=24,
    )
    perturb(model)
    return model


@pytest.fixture(scope="module")
def retinanet():
    return RetinaNet(keras_pvt.PVTBackbone("pvt_nano"), 5, 24, 2)


ANCHORS = ("--set", "anchor_side=4")


def run(*words) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([*map(str, words)]))


@pytest.mark.parametrize("layout", ["facebook", "huggingface"])
def test_detr_in_the_layouts_of_others(layout, detr, tmp_path, capsys):
    """Each from the official layout and back to it, by the content of the file alone."""
    source, there, back = (tmp_path / f"{name}.npz" for name in "abc")
    save_checkpoint(to_torch(detr), source)
    assert run(source, there, "--layout", layout, "--set", "num_heads=3") == 0
    assert "detr on pvt_nano" in capsys.readouterr().out
    written = read_checkpoint(there)
    key = {"facebook": "class_embed.weight", "huggingface": "class_labels_classifier.weight"}
    assert key[layout] in written
    assert not any(name.startswith("bbox_head.") for name in written)
    assert run(there, back, "--layout", "official", "--set", "num_heads=3") == 0
    assert_same(read_checkpoint(back), to_torch(detr))


@pytest.mark.parametrize("variant", ["pvt_nano", "pvt_v2_nano"])
@pytest.mark.parametrize("system", ["retinanet", "mask_rcnn"])
def test_backbones_of_mmdetection_itself(system, variant, tmp_path, capsys):
    """As its own detectors have them since 2.17: from the official layout and back to it."""
    backbone = keras_pvt.PVTBackbone(variant)
    model, anchors = {
        "retinanet": lambda: (RetinaNet(backbone, 5, 24, 2), 4),
        "mask_rcnn": lambda: (MaskRCNN(backbone, 5, 24, 16), 8),
    }[system]()
    perturb(model)
    state, told = to_torch(model), ("--set", f"anchor_side={anchors}")
    source, there, back = (tmp_path / f"{name}.npz" for name in "abc")
    save_checkpoint(state, source)
    assert run(source, there, "--layout", "mmdetection", *told) == 0
    assert f"{system} on {variant}" in capsys.readouterr().out
    written = read_checkpoint(there)
    v2 = variant == "pvt_v2_nano"
    block = f"backbone.layers.2.1.{int(not v2)}"
    ours = "backbone.block3.0"
    np.testing.assert_array_equal(
        written[f"{block}.attn.attn.in_proj_weight"],
        np.concatenate([state[f"{ours}.attn.q.weight"], state[f"{ours}.attn.kv.weight"]]),
    )
    np.testing.assert_array_equal(
        written[f"{block}.ffn.layers.{4 if v2 else 3}.weight"][:, :, 0, 0],
        state[f"{ours}.mlp.fc2.weight"],
    )
    assert {key for key in written if not key.startswith("backbone.")} == {
        key for key in state if not key.startswith("backbone.")
    }
    assert run(there, back, "--layout", "official", *told) == 0
    assert_same(read_checkpoint(back), state)
    pyramid = keras_pvt.PVTBackbone(variant, weights=there)
    for name, array in values(pyramid).items():
        np.testing.assert_array_equal(array, values(backbone)[name], err_msg=name)


def test_facebook_layout_is_of_detr(retinanet, tmp_path):
    save_checkpoint(to_torch(retinanet), tmp_path / "a.npz")
    with pytest.raises(ValueError, match="must be one of official, mmdetection; got 'facebook'"):
        run(tmp_path / "a.npz", tmp_path / "b.npz", "--layout", "facebook", *ANCHORS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("layout", ["official", "facebook", "huggingface"])
def test_another_systems_checkpoint_is_one_line(layout, detr, retinanet):
    message = "does not fit model 'retinanet':\n  this is a detr checkpoint, and the model a ret"
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(retinanet, to_torch(detr, layout))
    assert len(str(error.value).splitlines()) == 2
    with pytest.raises(CheckpointError, match="this is a retinanet checkpoint, and the model a d"):
        load_checkpoint(detr, to_torch(retinanet))


def test_detr_on_another_backbone(detr, tmp_path):
    state = to_torch(detr)
    state = {key: array for key, array in state.items() if not key.startswith("backbone.")}
    state["backbone.conv1.weight"] = np.zeros((64, 3, 7, 7), "float32")
    save_checkpoint(state, tmp_path / "a.npz")
    with pytest.raises(ValueError, match="this is a detr checkpoint, but of no variant"):
        run(tmp_path / "a.npz", tmp_path / "b.keras")
