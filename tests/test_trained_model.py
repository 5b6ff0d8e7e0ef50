"""Models that say what has to be known to use them, and the commands that read them."""

import json
import zipfile

import keras
import numpy as np
import pytest
from conftest import TINY, perturb
from PIL import Image
from safetensors.numpy import save_file

import keras_pvt
from keras_pvt import conversion
from keras_pvt.cli import main
from keras_pvt.detection import DETR, RetinaNet
from keras_pvt.exporting import sources
from keras_pvt.models.trained_model import MEMBER, bare_copy
from keras_pvt.segmentation import SemanticFPN

NAMES = ["cat", "dog", "emu"]


@pytest.fixture
def photo(tmp_path, rng):
    path = tmp_path / "photo.png"
    Image.fromarray(rng.integers(0, 256, (50, 70, 3)).astype("uint8")).save(path)
    return str(path)


def own_classifier(activation=None, **options):
    model = keras_pvt.classifier(
        "pvt_nano", weights=None, classes=3, classifier_activation=activation, **options
    )
    perturb(model)
    return model


def saved(model, folder, **options):
    path = folder / "model.keras"
    keras_pvt.save_model(model, path, NAMES, **options)
    return str(path)


def printed(capsys, *words):
    assert main([str(word) for word in words]) == 0
    return capsys.readouterr().out


def refused(capsys, *words):
    assert main([str(word) for word in words]) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize("activation", [None, "softmax"])
@pytest.mark.parametrize("inside", [True, False])
def test_predictions_are_those_of_the_model(tmp_path, photo, capsys, activation, inside):
    """Under the names of the classes, whatever the model takes and ends in."""
    model = own_classifier(activation, include_preprocessing=inside)
    model.compile("adam", "categorical_crossentropy")
    path = saved(model, tmp_path)
    crop = keras_pvt.eval_transform(photo, 32, 36)[None]
    logits_or_not = model.predict_on_batch(crop if inside else keras_pvt.preprocess_input(crop))[0]
    expected = logits_or_not
    if activation is None:
        expected = np.exp(logits_or_not) / np.exp(logits_or_not).sum()
    (line,) = printed(capsys, "predict", photo, "--model", path, "--json").splitlines()
    found = {one["name"]: one["probability"] for one in json.loads(line)["predictions"]}
    assert list(found) == [NAMES[n] for n in np.argsort(-expected)]
    np.testing.assert_allclose([found[name] for name in NAMES], expected, atol=1e-5)
    trained = keras_pvt.load_model(path)
    assert (trained.task, trained.system, trained.classes) == (
        "classification", "classifier", tuple(NAMES),
    )  # fmt: skip
    assert (trained.size, trained.logits, trained.pixels) == ((32, 32), activation is None, inside)
    assert not trained.model.compiled
    assert keras.saving.load_model(path).output_shape == (None, 3)


@pytest.mark.one_backend("what the commands say")
def test_a_classifier_for_every_verb(tmp_path, photo, capsys):
    path = saved(own_classifier(), tmp_path)
    shown = printed(capsys, "info", path)
    assert printed(capsys, "info", "--model", path) == shown
    for word in ("cat, dog, emu", "32x32", "logits", "preprocess_input", "keras-pvt predict"):
        assert word in shown
    picture = tmp_path / "attention.png"
    printed(capsys, "attention", photo, "--model", path, "--out", picture)
    assert np.asarray(Image.open(picture)).std() > 1
    assert "keras-pvt predict IMAGE" in refused(capsys, "detect", photo, "--model", path)
    assert "keras-pvt predict IMAGE" in refused(capsys, "segment", photo, "--model", path)
    assert "--size 64" in refused(capsys, "predict", photo, "--model", path, "--size", "64")
    assert "by --model" in refused(
        capsys, "predict", photo, "--variant", "pvt_nano", "--weights", path
    )


@pytest.mark.one_backend("what the commands say")
def test_a_classifier_is_exported_with_and_without_softmax(tmp_path):
    model = own_classifier()
    path = saved(model, tmp_path)
    images = np.random.default_rng(2).normal(size=(2, 32, 32, 3)).astype("float32")
    expected = model.predict_on_batch(images)
    for logits in (True, False):
        loaded, size, _ = sources.load(path, logits=logits)
        assert size is None
        found = loaded.predict_on_batch(images)
        if not logits:
            found = found["predictions"]
            expected = np.exp(expected) / np.exp(expected).sum(axis=-1, keepdims=True)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.one_backend("what the commands say")
@pytest.mark.parametrize(
    ("model", "verb", "others"),
    [
        (SemanticFPN, "segment", ("predict", "detect", "attention")),
        (RetinaNet, "detect", ("predict", "segment", "attention")),
        (DETR, "detect", ("predict", "segment")),
    ],
)
def test_another_task_is_refused_by_the_right_verb(tmp_path, photo, capsys, model, verb, others):
    backbone = keras_pvt.PVTBackbone(
        TINY, (None, None, 3), include_preprocessing=True, name="images" if model is DETR else None
    )
    path = saved(model(backbone, 3), tmp_path, size=(64, 96))
    for other in others:
        assert f"use keras-pvt {verb} IMAGE --model" in refused(
            capsys, other, photo, "--model", path
        )
    printed(capsys, verb, photo, "--model", path, "--out", tmp_path / "out")
    assert (tmp_path / "out" / "photo.png").exists()
    assert model.system in printed(capsys, "info", path)


@pytest.mark.one_backend("what the commands say")
@pytest.mark.parametrize("classes", [3, 10])
def test_a_checkpoint_without_names_of_classes(tmp_path, photo, capsys, classes):
    """However many there are: nothing is guessed, and the user names them."""
    path, names = tmp_path / "finetuned.npz", tmp_path / "names.txt"
    model = keras_pvt.classifier("pvt_nano", classes=classes)
    perturb(model)
    conversion.save_checkpoint(conversion.to_torch(model), path)
    names.write_text("".join(f"fish {n}\n" for n in range(classes)))
    shown = set()
    for words in (["--model", path], ["--variant", "pvt_nano", "--weights", path]):
        error = refused(capsys, "predict", photo, *words)
        assert f"{path} does not name its {classes} classes: --classes names them" in error
        assert "keras_pvt.save_model" in error
        shown.add(printed(capsys, "predict", photo, *words, "--classes", names))
        printed(capsys, "attention", photo, *words, "--out", tmp_path / "attention.png")
    assert len(shown) == 1
    assert shown.pop().count("fish ") == min(5, classes)
    error = refused(capsys, "predict", photo, "--model", path, "--classes", "imagenet")
    assert f"has {classes} classes; got 1000 names" in error


@pytest.mark.one_backend("what the commands say")
@pytest.mark.parametrize("activation", [None, "softmax"])
@pytest.mark.parametrize("inside", [True, False])
def test_a_checkpoint_that_says_what_it_is(tmp_path, photo, capsys, activation, inside):
    """It is used as the trained model that it was made of."""
    path = saved(own_classifier(activation, include_preprocessing=inside), tmp_path)
    there, back = tmp_path / "there.safetensors", tmp_path / "back.keras"
    printed(capsys, "convert", path, there)
    printed(capsys, "convert", there, back)
    for other in (there, back):
        found, expected = (
            {one["name"]: one["probability"] for one in json.loads(line)["predictions"]}
            for line in (
                printed(capsys, "predict", photo, "--model", file, "--json")
                for file in (other, path)
            )
        )
        assert list(found) == list(expected)
        np.testing.assert_allclose(*(list(x.values()) for x in (found, expected)), atol=1e-5)
    trained = keras_pvt.load_model(back)
    assert (trained.classes, trained.logits, trained.pixels) == (
        tuple(NAMES), activation is None, inside,
    )  # fmt: skip
    assert "cifar10" not in printed(capsys, "info", back)
    error = refused(capsys, "predict", photo, "--model", path, "--classes", "imagenet")
    assert "has names of its classes" in error


@pytest.mark.one_backend("what the commands say")
def test_a_checkpoint_of_known_classes(tmp_path, photo, capsys):
    model = keras_pvt.PVTNano()
    path, known = tmp_path / "nano.safetensors", ["--classes", "cifar10"]
    save_file(conversion.to_torch(model, "official"), path)
    by_file = printed(capsys, "predict", photo, "--model", path, *known)
    by_weights = ["--variant", "pvt_nano", "--weights", path]
    assert by_file == printed(capsys, "predict", photo, *by_weights, *known)
    error = refused(capsys, "predict", photo, "--variant", "pvt_nano", *known)
    assert "have classes of their own" in error
    for none in ("none", ""):
        shown = printed(capsys, "predict", photo, "--variant", "pvt_nano", f"--weights={none}")
        assert shown != by_file


@pytest.mark.one_backend("what the commands say")
@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (own_classifier, {"classes": ["a", "b"]}, "gives 3 classes; got 2 names"),
        (own_classifier, {"classes": ["a", "b", "b"]}, "must be different names"),
        (own_classifier, {"classes": NAMES, "size": 32}, "`size` must be .height, width."),
        (own_classifier, {"classes": NAMES, "size": (0, -1)}, "`size` must be .height, width."),
        (own_classifier, {"classes": NAMES, "size": (64, 64)}, "takes images of .32, 32. pixels"),
        (
            lambda: keras.Sequential([own_classifier(), keras.layers.ReLU()]),
            {"classes": NAMES},
            "pass `logits`",
        ),
        (lambda: own_classifier("tanh"), {"classes": NAMES}, "pass `logits`"),
        (
            lambda: own_classifier(input_shape=(None, None, 3)),
            {"classes": NAMES},
            "pass `size`",
        ),
        (
            lambda: keras_pvt.PVTBackbone(TINY, (64, 64, 3)),
            {"classes": NAMES},
            "is no classifier",
        ),
    ],
)
def test_what_cannot_be_saved(tmp_path, model, options, message):
    with pytest.raises(ValueError, match=message):
        keras_pvt.save_model(model(), tmp_path / "model.keras", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.one_backend("reads the layers")
def test_a_layer_of_softmax_gives_probabilities(tmp_path):
    """As `softmax` of the last layer does; nobody has to say so."""
    model = keras.Sequential([own_classifier(), keras.layers.Softmax()])
    assert keras_pvt.load_model(saved(model, tmp_path)).logits is False


@pytest.mark.one_backend("what the commands say")
@pytest.mark.parametrize(
    "change",
    [
        {"task": "features"},
        {"classes": [1, 2, 3]},
        {"classes": ["a", "b", "b"]},
        {"classes": "abc"},
        {"size": [0, 32]},
        {"size": [32]},
        {"library": "os"},
        {"logits": "yes"},
    ],
)
def test_descriptions_that_cannot_be(tmp_path, change):
    path = rewritten(saved(own_classifier(), tmp_path), change)
    with pytest.raises(ValueError, match="is no trained model"):
        keras_pvt.load_model(path)


@pytest.mark.one_backend("what the commands say")
def test_weights_alone_are_no_model(tmp_path):
    conversion.save_checkpoint(conversion.to_torch(own_classifier()), tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="it holds no model; `keras-pvt info FILE` says what it"):
        keras_pvt.load_model(tmp_path / "x.safetensors")


@pytest.mark.one_backend("what the commands say")
@pytest.mark.parametrize(
    ("change", "members", "message"),
    [
        ({"classes": ["a", "b"]}, {}, "its model gives 3 classes, and it names 2"),
        ({"task": "segmentation"}, {}, "says that it is a segmenter, and its model is none"),
        ({"task": "detection"}, {}, "says that it is a detector, and its model is none"),
        ({}, {MEMBER: b'{"size": ' + b"9" * 5000 + b"}"}, "is no JSON"),
        ({}, {"config.json": b"[]"}, "cannot be loaded"),
        ({}, {"config.json": b'{"module": "builtins", "class_name": "eval"}'}, "cannot be loaded"),
        ({}, {"model.weights.h5": b"no weights"}, "cannot be loaded"),
    ],
)
def test_files_that_are_damaged(tmp_path, change, members, message):
    """One error, of the kind that the commands show as a line, with the path."""
    path = rewritten(saved(own_classifier(), tmp_path), change, members)
    with pytest.raises(ValueError, match=message) as error:
        keras_pvt.load_model(path)
    assert path in str(error.value)


def rewritten(path, change, others=()):
    """The file, with another description and other members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members[MEMBER] = json.dumps({**json.loads(members[MEMBER]), **change}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | dict(others)).items():
            archive.writestr(name, content)
    return path


@pytest.mark.one_backend("what the commands do", full=True)
def test_a_built_sequential_is_a_classifier(tmp_path):
    model = keras.Sequential([own_classifier("softmax")])
    model.build((None, 32, 32, 3))
    path = saved(model, tmp_path, logits=False)
    images = np.ones((2, 32, 32, 3), "float32")
    loaded = keras_pvt.load_model(path)
    assert (loaded.task, loaded.size) == ("classification", (32, 32))
    np.testing.assert_allclose(
        loaded.model.predict_on_batch(images), model.predict_on_batch(images), atol=1e-6
    )


@pytest.mark.one_backend("what the commands say")
def test_a_file_of_keras_without_a_description(tmp_path, photo, capsys):
    own_classifier().save(tmp_path / "plain.keras")
    error = refused(capsys, "predict", photo, "--model", tmp_path / "plain.keras")
    assert "keras_pvt.save_model(model, path, classes=[...])" in error


def test_a_copy_has_arrays_of_its_own():
    """On JAX those that a model predicts by are gone, if another holds them."""
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    copy, x = bare_copy(model), np.ones((1, 3))
    expected = copy.predict_on_batch(x)
    np.testing.assert_array_equal(model.predict_on_batch(x), expected)
