"""Recipes: files, what they are based on, flags, and values that cannot be."""

import argparse
import dataclasses

import pytest

from keras_pvt.detection.recipe import DetectionRecipe
from keras_pvt.segmentation.recipe import SegmentationRecipe
from keras_pvt.training import recipes
from keras_pvt.training.flags import add_flags, overridden
from keras_pvt.training.recipe import Recipe

pytestmark = pytest.mark.one_backend("reads files")

KINDS = [
    (kind, name)
    for kind in (Recipe, SegmentationRecipe, DetectionRecipe)
    for name in recipes.names(kind)
]


@pytest.mark.parametrize(("kind", "name"), KINDS, ids=[name for _, name in KINDS])
def test_each_recipe(kind, name):
    """It loads, and says in its header what to expect and where it is from."""
    assert isinstance(recipes.load(name, kind), kind)
    header = (recipes.folder(kind) / f"{name}.toml").read_text().split("\n\n")[0]
    assert "# Expected: " in header
    assert "# Source: " in header


@pytest.mark.parametrize(
    ("variant", "drop_path", "clip"),
    [("tiny", 0.1, 0), ("small", 0.1, 0), ("medium", 0.3, 1), ("large", 0.3, 1)],
)
def test_the_official_recipes(variant, drop_path, clip):
    """Values of whai362/PVT classification/main.py and its configs."""
    recipe = recipes.load(f"imagenet_pvt_{variant}", Recipe)
    assert recipe.variant == f"pvt_{variant}"
    assert (recipe.drop_path, recipe.clip_norm) == (drop_path, clip)
    assert recipe.peak_rate == pytest.approx(1e-3)
    assert recipe.replace(batch_size=128, accumulate=4).peak_rate == pytest.approx(5e-4)
    assert (recipe.epochs, recipe.warm_up, recipe.end_rate) == (300, 5, 1e-5)
    assert (recipe.weight_decay, recipe.label_smoothing, recipe.repeats) == (0.05, 0.1, 3)
    assert (recipe.mixup, recipe.cutmix, recipe.switch_probability) == (0.8, 1.0, 0.5)
    assert (recipe.rand_augment, recipe.erasing) == ("rand-m9-mstd0.5-inc1", 0.25)


@pytest.mark.parametrize(
    ("name", "rate", "drops", "short_sides"),
    [
        ("retinanet_coco_1x", 1e-4, [8, 11], (800, 800)),
        ("retinanet_coco_3x", 1e-4, [27, 33], (640, 800)),
        ("mask_rcnn_coco_1x", 2e-4, [8, 11], (800, 800)),
        ("mask_rcnn_coco_3x", 2e-4, [27, 33], (640, 800)),
        ("detr_coco", 1e-4, [33], (640, 800)),
    ],
)
def test_the_official_detectors(name, rate, drops, short_sides):
    """Values of whai362/PVT detection/configs, and of the paper."""
    recipe = recipes.load(name, DetectionRecipe)
    assert (recipe.learning_rate, recipe.weight_decay, recipe.decay_all) == (rate, 1e-4, True)
    assert recipe.drop_epochs == drops
    assert recipe.batch_size == 16
    assert recipe.augmentation.short_sides == short_sides
    assert (recipe.augmentation.long_side, recipe.augmentation.multiple) == (1333, 32)
    detr = recipe.model == "detr"
    assert recipe.clip_norm == (0.1 if detr else 0)
    assert recipe.backbone_rate == (0.1 if detr else 1)
    assert recipe.warm_up == (0 if detr else 500)
    assert recipe.augmentation.step == (32 if detr else 1)


def test_a_recipe_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "imagenet_pvt_medium"\nepochs = 30\nwarm_up = 1\n')
    mine, base = recipes.load(str(path), Recipe), recipes.load("imagenet_pvt_medium", Recipe)
    assert mine == dataclasses.replace(base, epochs=30, warm_up=1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", "has 'epoch', which is no option"),
        ('epochs = "3"', "epochs must be int; got '3'"),
        ("epochs = 0", "--epochs must be above 0; got 0"),
        ("learning_rate = -1.0", r"--learning-rate must be above 0; got -1\.0"),
        ("learning_rate = nan", "--learning-rate must be above 0; got nan"),
        ("erasing = 2", r"--erasing must be 0 to 1; got 2\.0"),
        ("warm_up = -1", r"--warm-up must be 0 or more; got -1\.0"),
        ('optimizer = "sgd"', "--optimizer must be one of adamw, muon; got 'sgd'"),
        ('base = "absent"', "no recipe 'absent'; there are .*imagenet_pvt_tiny"),
        ("epochs =", "is no TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        recipes.load(str(path), Recipe)


def test_a_circle(tmp_path):
    for name, base in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.toml").write_text(f'base = "{tmp_path / base}.toml"')
    with pytest.raises(ValueError, match="in a circle"):
        recipes.load(str(tmp_path / "a.toml"), Recipe)


def test_flags_override():
    parser = argparse.ArgumentParser()
    add_flags(parser, Recipe)
    recipe = recipes.load("finetune", Recipe)
    assert overridden(recipe, parser.parse_args([])) == recipe
    given = parser.parse_args(["--epochs", "3", "--no-flip", "--learning-rate", "1e-4"])
    assert overridden(recipe, given) == recipe.replace(epochs=3, flip=False, learning_rate=1e-4)
    with pytest.raises(ValueError, match="--batch-size must be above 0; got -1"):
        overridden(recipe, parser.parse_args(["--batch-size", "-1"]))
