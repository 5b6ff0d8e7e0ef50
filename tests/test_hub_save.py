"""Folders for hubs: each library loads what was written for it, and answers the same."""

import dataclasses
import json
import logging

import keras
import numpy as np
import pytest
from conftest import SHALLOW, TINY, assert_same, perturb
from conftest import V2 as ANY_V2
from contracts import run
from hub_server import Repository
from hubs import NAME

import keras_pvt
from keras_pvt.classification.predictor import FileClassifier
from keras_pvt.cli import main
from keras_pvt.conversion import read_checkpoint, to_torch
from keras_pvt.conversion.recognise import recognised
from keras_pvt.hub import save

pytestmark = pytest.mark.one_backend("writes files")

NAMES = [f"bird {n}" for n in range(7)]
# With the patches that timm has, too.
V2 = dataclasses.replace(ANY_V2, patch_sizes=(7, 3, 3, 3))


def built(config=TINY, kind=keras_pvt.classifier, **options):
    model = kind(config, **options)
    perturb(model)
    return model


def photos(side: int = 64) -> np.ndarray:
    return np.random.default_rng(5).uniform(-2, 2, (2, side, side, 3)).astype("float32")


def theirs(model, images) -> np.ndarray:
    import torch

    with torch.no_grad():
        return model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))


def own(folder):
    """The model that this package makes of a folder."""
    path = next(folder.glob("model.*5"), folder / "model.safetensors")
    found = recognised(read_checkpoint(path))
    return keras_pvt.conversion.model_from_checkpoint(found)[0], found


@pytest.mark.parametrize("config", [TINY, ANY_V2], ids=["pvt", "pvt_v2"])
def test_transformers_loads_classifiers(config, tmp_path, caplog):
    import transformers

    model = built(config, classifier_activation=None)
    save(model, tmp_path / "x", "transformers", classes=NAMES, metrics={"top-1": 0.5})
    loaded = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "x").eval()
    assert loaded.config.id2label == dict(enumerate(NAMES))
    assert loaded.config.label2id == {name: n for n, name in enumerate(NAMES)}
    logits = theirs(loaded, photos()).logits.numpy()
    np.testing.assert_allclose(logits, run(model, photos()), atol=2e-4)
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        again, found = own(tmp_path / "x")
    assert not caplog.records, "the preprocessing is ours"
    assert found.classes == tuple(NAMES)
    assert_same(to_torch(again), to_torch(model))


def test_transformers_prepares_images_as_here(tmp_path, rng):
    import transformers
    from PIL import Image

    model = built(V2)
    save(model, tmp_path / "x", "transformers")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "x", backend="pil")
    picture = Image.fromarray(rng.integers(0, 256, (90, 120, 3)).astype("uint8"))
    pixels = processor(picture, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    mine = keras_pvt.preprocess_input(keras_pvt.eval_transform(picture, 64))
    assert pixels.shape == mine.shape
    np.testing.assert_allclose(pixels, mine, atol=0.05)


@pytest.mark.parametrize("config", [TINY, V2], ids=["pvt", "pvt_v2"])
def test_transformers_classifies_without_names(config, tmp_path, rng):
    """Its pipeline looks each class up; of a PVT it has no names unless the file gives some."""
    import transformers
    from PIL import Image

    model = built(config, classifier_activation=None)
    save(model, tmp_path / "x", "transformers")
    table = transformers.AutoImageProcessor.from_pretrained(tmp_path / "x", backend="pil")
    classify = transformers.pipeline(
        "image-classification", model=str(tmp_path / "x"), image_processor=table
    )
    picture = Image.fromarray(rng.integers(0, 256, (90, 120, 3)).astype("uint8"))
    found = classify(picture, top_k=7)
    assert {one["label"] for one in found} == {f"LABEL_{n}" for n in range(7)}
    assert own(tmp_path / "x")[1].classes is None


def test_transformers_loads_backbones(tmp_path):
    import transformers

    backbone = built(V2, keras_pvt.PVTBackbone)
    save(backbone, tmp_path / "x", "transformers")
    loaded = transformers.AutoModel.from_pretrained(tmp_path / "x").eval()
    assert type(loaded).__name__ == "PvtV2Model"
    last = theirs(loaded, photos()).last_hidden_state.numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(last, run(backbone, photos()), atol=2e-4)


def test_the_layout_of_timm(tmp_path):
    """As timm 1.0 writes and reads it; it needs torchvision, and is not there."""
    model = built(V2)
    save(model, tmp_path / "x", "timm", classes=NAMES)
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    assert config["architecture"] == "pvt_v2_b0"
    assert config["num_classes"] == config["pretrained_cfg"]["num_classes"] == 7
    assert config["num_features"] == V2.embed_dims[-1]
    assert config["label_names"] == NAMES
    assert config["model_args"]["embed_dims"] == list(V2.embed_dims)
    assert config["pretrained_cfg"]["input_size"] == [3, 64, 64]
    assert config["pretrained_cfg"]["mean"] == [0.485, 0.456, 0.406]
    keys = read_checkpoint(tmp_path / "x" / "model.safetensors").keys()
    assert keys == to_torch(model, "timm").keys()
    again, found = own(tmp_path / "x")
    assert found.classes == tuple(NAMES)
    assert_same(to_torch(again), to_torch(model))


def test_timm_knows_the_variants(tmp_path):
    backbone = keras_pvt.PVTBackbone("pvt_v2_b0", (64, 64, 3))
    save(backbone, tmp_path / "x", "timm")
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    assert (config["architecture"], config["num_classes"]) == ("pvt_v2_b0", 0)
    assert "model_args" not in config
    assert "label_names" not in config


@pytest.mark.parametrize("named", [True, False])
def test_keras_loads_any_model(tmp_path, hub, named, capsys):
    model = built(input_shape=(64, 64, 3), include_preprocessing=True)
    save(model, tmp_path / "x", "keras", classes=NAMES if named else None)
    images = photos()
    for place in (str(tmp_path / "x"), NAME):
        files = {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()}
        hub.repositories["someone/pvt"] = Repository(files)
        loaded = keras.saving.load_model(place, compile=False)
        np.testing.assert_array_equal(run(loaded, images), run(model, images))
        again = keras_pvt.classifier(TINY, weights=NAME)
        assert_same(to_torch(again), to_torch(model))
        if named:
            trained = keras_pvt.load_model(place)
            assert trained.classes == tuple(NAMES)
            np.testing.assert_array_equal(run(trained.model, images), run(model, images))
            predictor = FileClassifier.named(place)
            assert [name for _, name in predictor.classes] == NAMES
            assert main(["convert", place, str(tmp_path / "x.npz")]) == 0
            assert_same(read_checkpoint(tmp_path / "x.npz"), dict(to_torch(model)))
        else:
            with pytest.raises((IsADirectoryError, ValueError)):
                keras_pvt.load_model(place)
            assert FileClassifier.named(NAME).model.output_shape == (None, 7)
    capsys.readouterr()


def test_a_detector_goes_to_a_hub_and_back(tmp_path, hub):
    backbone = keras_pvt.PVTBackbone(SHALLOW, (64, 96, 3), include_preprocessing=True)
    model = keras_pvt.detection.RetinaNet(backbone, num_classes=3, anchor_side=5)
    perturb(model)
    save(model, tmp_path / "x", "keras", classes=["cat", "dog", "cow"])
    files = {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir()}
    hub.repositories["someone/pvt"] = Repository(files)
    detector = keras_pvt.detection.Detector.load(NAME)
    assert detector.classes == ["cat", "dog", "cow"]
    assert_same(to_torch(detector.model), to_torch(model))
    options = keras_pvt.conversion.describe(detector.model).options
    assert options["anchor_side"] == 5
    with pytest.raises(ValueError, match=r'is a RetinaNet of PVT: timm .* library="keras" takes'):
        save(model, tmp_path / "y", "timm")
    with pytest.raises(ValueError, match="KerasHub takes backbones"):
        save(model, tmp_path / "y", "keras_hub")
    assert not (tmp_path / "y").exists()


def test_keras_hub_loads_backbones(tmp_path):
    keras_hub = pytest.importorskip("keras_hub")
    backbone = built(TINY, keras_pvt.PVTBackbone, drop_path_rate=0.1)
    save(backbone, tmp_path / "x", "keras_hub")
    loaded = keras_hub.models.Backbone.from_preset(str(tmp_path / "x"))
    assert type(loaded) is keras_pvt.hub.PVTHubBackbone
    assert loaded.rates == backbone.rates
    np.testing.assert_array_equal(run(loaded, photos()), run(backbone, photos()))
    again, _ = own(tmp_path / "x")
    assert_same(to_torch(again), to_torch(backbone))
    with pytest.raises(ValueError, match="has no class token in its classifiers"):
        save(built(), tmp_path / "y", "keras_hub")


@pytest.mark.parametrize("pixels", [True, False])
def test_keras_hub_loads_classifiers_of_pvt_v2(tmp_path, pixels):
    keras_hub = pytest.importorskip("keras_hub")
    model = built(V2, input_shape=(64, 64, 3), include_preprocessing=pixels)
    save(model, tmp_path / "x", "keras_hub", classes=NAMES)
    loaded = keras_hub.models.ImageClassifier.from_preset(str(tmp_path / "x"))
    images = np.random.default_rng(2).integers(0, 256, (2, 64, 64, 3)).astype("uint8")
    mine = run(model, images if pixels else keras_pvt.preprocess_input(images))
    np.testing.assert_allclose(loaded.predict(images, verbose=0), mine, atol=1e-5)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_was_not_measured_is_no_metric(tmp_path, value):
    with pytest.raises(ValueError, match=r"words or finite numbers; got (nan|inf) for 'top-1'"):
        save(built(V2), tmp_path / "x", "timm", classes=NAMES, metrics={"top-1": value})
    assert not (tmp_path / "x").exists()


def test_the_card(tmp_path):
    model = built(V2, name="birds")
    save(model, tmp_path / "x", "timm", classes=NAMES, metrics={"top-1 | val": 0.93126, "set": "x"})
    text = (tmp_path / "x" / "README.md").read_text()
    head = text.split("---\n")[1].splitlines()
    assert "library_name: timm" in head
    assert "pipeline_tag: image-classification" in head
    for part in (
        "# birds",
        f"| parameters | {model.count_params():,} |",
        "| top-1 \\| val | 0.9313 |",
        "7 classes: bird 0, bird 1",
        'timm.create_model("hf-hub:OWNER/NAME", pretrained=True)',
        "arxiv.org/abs/2106.13797",
        'weights="hf://OWNER/NAME"',
    ):
        assert part in text


@pytest.mark.parametrize("library", ["transformers", "timm", "keras_hub", "keras"])
def test_what_the_card_says_of_this_package_works(tmp_path, hub, library):
    model = built(V2)
    save(model, tmp_path / "x", library, classes=NAMES)
    files = {path.name: path.read_bytes() for path in (tmp_path / "x").iterdir() if path.is_file()}
    hub.repositories["someone/pvt"] = Repository(files)
    code = (tmp_path / "x" / "README.md").read_text().split("```python\n")[2].split("```")[0]
    found: dict = {}
    exec(code.replace("OWNER/NAME", "someone/pvt"), found)
    expected = to_torch(model)
    if library == "keras_hub":  # whose head lies in another file
        expected = {key: array for key, array in expected.items() if not key.startswith("head.")}
    assert_same(to_torch(found["model"]), expected)
    again, _ = own(tmp_path / "x")
    assert_same(to_torch(again), expected)


def test_folders_of_others_stay(tmp_path):
    model = built(V2)
    folder = tmp_path / "x"
    folder.mkdir()
    save(model, folder, "timm")  # it is empty
    before = (folder / "model.safetensors").read_bytes()
    perturbed = keras_pvt.classifier(V2)
    save(perturbed, folder, "transformers")  # it is ours
    assert (folder / "model.safetensors").read_bytes() != before
    assert "preprocessor_config.json" in {path.name for path in folder.iterdir()}
    (folder / "keras_pvt_hub.json").unlink()
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FileExistsError, match=r"x has files in it that .* did not write"):
        save(model, folder, "timm")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"x"}


def test_what_fails_leaves_what_was_there(tmp_path, monkeypatch):
    model, folder = built(V2), tmp_path / "x"
    save(model, folder, "timm")
    before = {path: path.read_bytes() for path in folder.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_pvt.hub.folders.card", full)
    with pytest.raises(OSError, match="No space left"):
        save(model, folder, "keras")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert {path.name for path in tmp_path.iterdir()} == {"x"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"library": "tfimm"}, "`library` must be one of transformers, timm, keras_hub, keras"),
        ({"classes": ["a", "b"]}, "the model gives 7 classes; got 2 names"),
        ({"classes": ["a"] * 7}, "must be different names"),
    ],
)
def test_what_cannot_be_saved(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        save(built(V2), tmp_path / "x", **{"library": "timm", **options})
    with pytest.raises(ValueError, match="of PVT: timm has classifiers and backbones of PVTv2"):
        save(built(), tmp_path / "x", "timm")
    with pytest.raises(ValueError, match="of PVT: transformers has none without a head"):
        save(built(TINY, keras_pvt.PVTBackbone), tmp_path / "x", "transformers")
    with pytest.raises(ValueError, match=r"transformers has patches of \(4, 2, 2, 2\) alone"):
        save(keras_pvt.PVTNano(weights=None), tmp_path / "x", "transformers")
    with pytest.raises(ValueError, match=r"timm has patches of \(7, 3, 3, 3\)"):
        save(keras_pvt.classifier("pvt_v2_nano", weights=None), tmp_path / "x", "timm")
    foreign = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="sequential"):
        save(foreign, tmp_path / "x", "keras")
    assert not list(tmp_path.iterdir())
