"""What stands beside weights: names of classes, and how images were prepared."""

import json
import logging

import numpy as np
import pytest
from conftest import TINY, V2, perturb
from hub_server import Repository
from hubs import NAME, timm_config, transformers_config, weights

import keras_pvt
from keras_pvt.classification.predictor import FileClassifier
from keras_pvt.cli import main
from keras_pvt.conversion import read_checkpoint
from keras_pvt.conversion.beside import different_names, read_beside
from keras_pvt.conversion.recognise import recognised
from keras_pvt.variants import IMAGENET_MEAN, IMAGENET_STD, VARIANTS

pytestmark = pytest.mark.one_backend("reads files")

NAMES = [f"bird {n}" for n in range(TINY.classes)]
LABELS = {"id2label": {str(n): name for n, name in enumerate(NAMES)}}
# Of transformers' PVT, prepared as `eval_transform` and `preprocess_input` do.
PROCESSOR = {
    "do_resize": True,
    "size": {"shortest_edge": 256},
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "resample": 3,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": list(IMAGENET_MEAN),
    "image_std": list(IMAGENET_STD),
}


def beside(folder, config: bytes = b"", processor=None):
    for name, content in (("config.json", config), ("preprocessor_config.json", processor)):
        if isinstance(content, dict):
            content = json.dumps(content).encode()
        if content:
            (folder / name).write_bytes(content)
    return read_beside(folder / "model.safetensors")


def test_names_of_transformers_and_timm(tmp_path):
    assert beside(tmp_path, transformers_config(TINY, **LABELS)).classes == tuple(NAMES)
    assert beside(tmp_path, timm_config(V2, label_names=NAMES)).classes == tuple(NAMES)
    old = {"architecture": "pvt_v2_b0", "num_classes": 7, "labels": NAMES, "mean": [0.5] * 3}
    found = beside(tmp_path, json.dumps(old).encode())
    assert found.classes == tuple(NAMES)
    assert found.differences == ("mean [0.5, 0.5, 0.5], not [0.485, 0.456, 0.406]",)


def test_names_that_are_none(tmp_path):
    numbered = {"id2label": {str(n): f"LABEL_{n}" for n in range(7)}}
    assert beside(tmp_path, transformers_config(TINY, **numbered)).classes is None
    assert beside(tmp_path, timm_config(V2)).classes is None
    assert beside(tmp_path, json.dumps({"model_type": "vit"} | LABELS).encode()).classes is None


def test_imagenet_of_timm_needs_no_names(tmp_path):
    classes = beside(tmp_path, timm_config(V2, num_classes=1000)).classes
    assert len(set(classes)) == 1000
    assert (classes[0], classes[134], classes[517]) == ("tench", "crane (134)", "crane (517)")


def test_names_that_repeat_get_numbers():
    assert different_names(["a", "b", "a"]) == ("a (0)", "b", "a (2)")


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (b"[1]", "it is a list, not a table"),
        (b"{", "Expecting property name"),
        (b'{"a": 1, "a": 2}', "it has a key twice"),
        (b"[" * 100_000, "recursion"),
        (b" " * (1 << 22) + b"{}", "more than 4,194,304 bytes"),
        (transformers_config(TINY, id2label={"1": "a"}), "does not number classes from 0"),
        (transformers_config(TINY, id2label=["a"]), "does not number classes"),
        (transformers_config(TINY, id2label={"0": 3}), "are no list of names"),
        (transformers_config(TINY, id2label={"0": ""}), "are no names"),
        (timm_config(V2, label_names={"a": "b"}), "are no list of names"),
        (timm_config(V2, label_names=["x" * 1001]), "too long"),
        (timm_config(V2, pretrained_cfg=[]), "its pretrained_cfg is no table"),
    ],
    ids=range(12),
)
def test_what_is_damaged_is_left_alone_and_said(tmp_path, caplog, config, reason):
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        assert beside(tmp_path, config).classes is None
    (record,) = caplog.records
    assert reason in record.getMessage()
    assert str(tmp_path / "config.json") in record.getMessage()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"image_mean": [0.4851, 0.4559, 0.406]}, []),
        ({"image_mean": [0.5] * 3}, ["mean [0.5, 0.5, 0.5], not [0.485, 0.456, 0.406]"]),
        ({"image_std": [0.229]}, ["std [0.229], not [0.229, 0.224, 0.225]"]),
        ({"image_std": "x" * 100}, [f"std {'x' * 60}, not [0.229, 0.224, 0.225]"]),
        ({"do_normalize": False}, ["it does not normalise"]),
        ({"do_rescale": False}, ["it does not scale 0..255 to 0..1"]),
        ({"rescale_factor": 1.0}, ["it scales by 1, not 1/255"]),
        ({"resample": 2}, ["bilinear resizing, not bicubic"]),
        (
            {"crop_size": {"height": 224, "width": 224}, "size": {"shortest_edge": 224}},
            ["a crop of 1 of the shorter side, not 0.875"],
        ),
        (
            {"do_center_crop": False, "size": {"height": 224, "width": 224}},
            [
                "it scales the whole image to 224x224, and here 0.875 of the shorter side are cut "
                "out"
            ],
        ),
        ({"size": {"shortest_edge": 0}}, ["a crop of None of the shorter side, not 0.875"]),
        ({"do_resize": False, "resample": 0}, []),
    ],
)
def test_how_transformers_prepares_images(tmp_path, changes, said):
    found = beside(tmp_path, transformers_config(TINY), PROCESSOR | changes)
    assert list(found.differences) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"crop_pct": 0.9}, ["a crop of 0.9 of the shorter side, not 0.875"]),
        ({"interpolation": "bilinear"}, ["bilinear resizing, not bicubic"]),
        ({"crop_mode": "squash"}, ["its crop is squash, not center"]),
        ({"std": [1.0, 1.0, 1.0]}, ["std [1.0, 1.0, 1.0], not [0.229, 0.224, 0.225]"]),
        ({"mean": [float("nan")] * 3}, ["mean [nan, nan, nan], not [0.485, 0.456, 0.406]"]),
    ],
)
def test_how_timm_prepares_images(tmp_path, changes, said):
    own = json.loads(timm_config(V2))["pretrained_cfg"]
    found = beside(tmp_path, timm_config(V2, pretrained_cfg=own | changes))
    assert list(found.differences) == said


@pytest.fixture
def variant(monkeypatch):
    """A row that these weights are recognised by."""
    monkeypatch.setitem(VARIANTS, "pvt_test", TINY)
    return "pvt_test"


@pytest.fixture(scope="module")
def content():
    model = keras_pvt.classifier(TINY)
    perturb(model)
    return weights(model, "huggingface")


@pytest.fixture
def repository(hub, content):
    processor = json.dumps(PROCESSOR | {"image_mean": [0.5] * 3}).encode()
    hub.repositories["someone/pvt"] = Repository(
        {
            "model.safetensors": content,
            "config.json": transformers_config(TINY, **LABELS),
            "preprocessor_config.json": processor,
        }
    )
    return hub.repositories["someone/pvt"]


def test_a_difference_is_said_once(repository, caplog):
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        keras_pvt.PVTBackbone(TINY, weights=NAME)
    (record,) = caplog.records
    assert "images were prepared for these weights otherwise than by" in record.getMessage()
    assert record.getMessage().endswith("mean [0.5, 0.5, 0.5], not [0.485, 0.456, 0.406]")
    assert "someone--pvt" in record.getMessage()


def test_names_come_to_what_predict_prints(repository, variant, tmp_path, rng, capsys):
    from PIL import Image

    Image.fromarray(rng.integers(0, 256, (80, 90, 3)).astype("uint8")).save(tmp_path / "x.png")
    assert main(["predict", str(tmp_path / "x.png"), "--json", "--model", NAME]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {one["name"] for one in shown["predictions"]} <= set(NAMES)
    for predictor in (FileClassifier.named(NAME), FileClassifier.load(variant, f"{NAME}@main")):
        assert [name for _, name in predictor.classes] == NAMES
    with pytest.raises(ValueError, match="hf://someone/pvt is a checkpoint of pvt_test, not of"):
        FileClassifier.load("pvt_tiny", NAME)


def test_convert_keeps_names(repository, variant, tmp_path, capsys):
    for suffix in ("safetensors", "keras"):
        assert main(["convert", NAME, str(tmp_path / f"x.{suffix}")]) == 0
    assert read_checkpoint(tmp_path / "x.safetensors").description.classes == tuple(NAMES)
    assert keras_pvt.load_model(tmp_path / "x.keras").classes == tuple(NAMES)
    capsys.readouterr()
    one = transformers_config(TINY, id2label={"0": "a"})
    repository.push({**repository.files, "config.json": one})
    assert main(["convert", NAME, str(tmp_path / "y.safetensors")]) == 0
    assert (
        "the file names 1 classes, and its model has 7: they are left out"
        in capsys.readouterr().out
    )
    assert read_checkpoint(tmp_path / "y.safetensors").description.classes is None
    assert not FileClassifier.named(NAME).classes
    with pytest.raises(ValueError, match="has 7 classes; got 1 names"):
        FileClassifier.named(NAME, classes=["a"])
    assert len(FileClassifier.named(NAME, classes=NAMES).classes) == 7


def test_weights_of_recipes(repository, monkeypatch):
    from keras_pvt.models import classifier as module
    from keras_pvt.training import load_recipe

    monkeypatch.setitem(VARIANTS, "pvt_tiny", TINY)
    recipe = load_recipe("finetune", weights=NAME, variant="pvt_tiny", size="64")
    model, _ = module.from_recipe(recipe, 7)
    direct = keras_pvt.classifier(TINY, weights=NAME)
    for one, other in zip(model.get_weights(), direct.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_description_beside_is_used(tmp_path, caplog, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    description = keras_pvt.conversion.describe(keras_pvt.classifier(TINY)).text()
    own = tmp_path / "keras_pvt_hub.json"
    own.write_text(json.dumps({"description": description}))
    found = recognised(read_checkpoint(tmp_path / "model.safetensors"))
    model, _ = keras_pvt.conversion.model_from_checkpoint(found)
    assert keras_pvt.conversion.describe(model).text() == description
    own.write_text(json.dumps({"description": '{"version": 9}'}))
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        assert read_checkpoint(tmp_path / "model.safetensors").description is None
    assert "its description is not used: it is of version 9" in caplog.text
