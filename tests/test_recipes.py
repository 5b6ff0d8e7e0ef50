"""Recipes: files, what they are based on, flags, and values that cannot be."""

import argparse
import dataclasses

import pytest

from keras_pvt.cli import main
from keras_pvt.detection.data.augmentation import of_recipe
from keras_pvt.recipes import files
from keras_pvt.recipes.classification import ClassificationRecipe
from keras_pvt.recipes.detection import DetectionRecipe
from keras_pvt.recipes.files import load
from keras_pvt.recipes.flags import add_flags, overridden
from keras_pvt.recipes.segmentation import SegmentationRecipe

pytestmark = pytest.mark.one_backend("reads files")

KINDS = {
    "classifiers": ClassificationRecipe,
    "detectors": DetectionRecipe,
    "segmenters": SegmentationRecipe,
}
NAMES = [(what, name) for what, names in files.names().items() for name in names]


@pytest.mark.parametrize(("what", "name"), NAMES, ids=[name for _, name in NAMES])
def test_each_recipe(what, name):
    """It loads, and says in its header what to expect and where it is from."""
    assert type(load(name)) is KINDS[what]
    header = files.recipe_file(name).read_text().split("\n\n")[0]
    assert "# Expected: " in header
    assert "# Source: " in header


@pytest.mark.parametrize("name", ["finetune", "retinanet_coco_3x", "trans2seg_released"])
def test_what_is_shown_is_the_recipe(name, tmp_path, capsys):
    assert main(["train", name, "--show", "--seed=7"]) == 0
    path = tmp_path / "shown.toml"
    path.write_text(capsys.readouterr().out)
    assert load(str(path)) == load(name, seed=7)


@pytest.mark.parametrize(
    ("variant", "drop_path", "clip"),
    [("tiny", 0.1, 0), ("small", 0.1, 0), ("medium", 0.3, 1), ("large", 0.3, 1)],
)
def test_the_official_recipes(variant, drop_path, clip):
    """Values of whai362/PVT classification/main.py and its configs."""
    recipe = load(f"imagenet_pvt_{variant}")
    assert recipe.variant == f"pvt_{variant}"
    assert (recipe.drop_path, recipe.clip_norm) == (drop_path, clip)
    assert recipe.peak_rate == pytest.approx(1e-3)
    assert recipe.replace(batch_size=128, accumulate=4).peak_rate == pytest.approx(5e-4)
    assert (recipe.epochs, recipe.warm_up, recipe.end_rate) == (300, 5, 1e-5)
    assert (recipe.weight_decay, recipe.label_smoothing, recipe.repeats) == (0.05, 0.1, 3)
    assert (recipe.mixup, recipe.cutmix, recipe.switch_probability) == (0.8, 1.0, 0.5)
    assert (recipe.rand_augment, recipe.erasing) == ("rand-m9-mstd0.5-inc1", 0.25)


@pytest.mark.parametrize("number", ["b0", "b1", "b2", "b2_li", "b3", "b4", "b5"])
def test_the_official_recipes_of_v2(number):
    """Values of whai362/PVT classification/configs/pvt_v2; the rest is as PVT's."""
    recipe, deep = load(f"imagenet_pvt_v2_{number}"), number in ("b3", "b4", "b5")
    assert (recipe.drop_path, recipe.clip_norm) == ((0.3, 1) if deep else (0.1, 0))
    own = {"variant": f"pvt_v2_{number}", "drop_path": recipe.drop_path}
    assert recipe == load("imagenet_pvt_tiny", **own, clip_norm=recipe.clip_norm)


@pytest.mark.parametrize(
    ("name", "rate", "decay", "norms", "drops", "short_sides"),
    [
        ("retinanet_pvt_v2_coco_1x", 1e-4, 1e-4, True, [8, 11], (800, 800)),
        ("mask_rcnn_pvt_v2_coco_1x", 2e-4, 1e-4, True, [8, 11], (800, 800)),
        ("mask_rcnn_pvt_v2_coco_3x", 1e-4, 0.05, False, [27, 33], (480, 800)),
    ],
)
def test_the_official_detectors_on_v2(name, rate, decay, norms, drops, short_sides):
    """Values of whai362/PVT detection/configs."""
    recipe = load(name)
    assert (recipe.variant, recipe.drop_path) == ("pvt_v2_b2", 0.1)
    assert (recipe.learning_rate, recipe.weight_decay) == (rate, decay)
    assert (recipe.decay_all, recipe.decay_norms) == (True, norms)
    assert recipe.drop_epochs == drops
    assert of_recipe(recipe).short_sides == short_sides


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
    recipe = load(name)
    assert (recipe.learning_rate, recipe.weight_decay, recipe.decay_all) == (rate, 1e-4, True)
    assert recipe.drop_epochs == drops
    assert recipe.batch_size == 16
    augmentation = of_recipe(recipe)
    assert augmentation.short_sides == short_sides
    assert (augmentation.long_side, augmentation.multiple) == (1333, 32)
    detr = recipe.system == "detr"
    assert recipe.clip_norm == (0.1 if detr else 0)
    assert recipe.backbone_rate == (0.1 if detr else 1)
    assert round(recipe.warm_up * (117266 // 16)) == (0 if detr else 500)  # of images with objects
    assert augmentation.step == (32 if detr else 1)


def test_a_recipe_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "imagenet_pvt_medium"\nepochs = 30\nwarm_up = 1\n')
    mine, base = load(str(path)), load("imagenet_pvt_medium")
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
    path.write_text(f"{text}\n" if "base" in text else f'system = "classifier"\n{text}\n')
    with pytest.raises(ValueError, match=message):
        load(str(path))


def test_a_circle(tmp_path):
    for name, base in (("a", "b"), ("b", "a")):
        (tmp_path / f"{name}.toml").write_text(f'base = "{tmp_path / base}.toml"')
    with pytest.raises(ValueError, match="in a circle"):
        load(str(tmp_path / "a.toml"))


def test_flags_override():
    parser = argparse.ArgumentParser()
    recipe = load("finetune")
    add_flags(parser, recipe)
    assert overridden(recipe, parser.parse_args([])) == recipe
    given = parser.parse_args(["--epochs", "3", "--no-flip", "--learning-rate", "1e-4"])
    assert overridden(recipe, given) == recipe.replace(epochs=3, flip=False, learning_rate=1e-4)
    with pytest.raises(ValueError, match="--batch-size must be above 0; got -1"):
        overridden(recipe, parser.parse_args(["--batch-size", "-1"]))


def test_help_shows_the_values_of_the_recipe(capsys, tmp_path):
    (tmp_path / "mine.toml").write_text(
        'base = "finetune"\nepochs = 77\nflip = false\ndata = "/a 100%s set"\n'
    )
    with pytest.raises(SystemExit, match="0"):
        main(["train", str(tmp_path / "mine.toml"), "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "passes over the data (default: 77)" in shown
    assert "mirror half of the images (default: --no-flip)" in shown
    assert "(default: /a 100%s set)" in shown
    assert f"(default: {load('finetune').learning_rate})" in shown
    assert shown.count("(default: ") >= len(dataclasses.fields(ClassificationRecipe))


def test_a_misspelt_name(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "finetun", "--data", "flowers"])
    shown = capsys.readouterr().err
    assert "there is no recipe 'finetun' (did you mean finetune?); there are of " in shown
    with pytest.raises(ValueError, match=r"there is no recipe 'zzz'; there are of "):
        load("zzz")
