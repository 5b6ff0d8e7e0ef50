"""What `keras-pvt export` makes of the name of a model."""

import keras
import numpy as np
import pytest
from conftest import SHALLOW, perturb

import keras_pvt
from keras_pvt import runtimes
from keras_pvt.cli import main
from keras_pvt.conversion import save_checkpoint, to_torch
from keras_pvt.exporting import ExportError
from keras_pvt.exporting.sources import load
from keras_pvt.exporting.subject import named

pytestmark = pytest.mark.one_backend("what a name stands for")

FORMAT = "onnx" if keras.backend.backend() == "torch" else "tflite"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A file with random weights of pvt_nano, and the model that has them."""
    model = keras_pvt.PVTNano(weights=None, input_shape=(48, 40, 3))
    perturb(model)
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    save_checkpoint(to_torch(model), path)
    return str(path), model


def numpy(value):
    return keras.ops.convert_to_numpy(value)


def test_checkpoint(checkpoint, rng):
    path, expected = checkpoint
    images = rng.standard_normal((2, 48, 40, 3)).astype("float32")
    for model, size, _ in (load(path), load("pvt_nano", weights=path)):
        assert size == (32, 32)
        assert model.input_shape == (None, None, None, 3)
        np.testing.assert_allclose(numpy(model(images)), numpy(expected(images)), atol=1e-6)
    logits, *_ = load(path, logits=True)
    softmax = keras.ops.softmax(logits(images))
    np.testing.assert_allclose(numpy(softmax), numpy(expected(images)), atol=1e-6)


def test_features_of_a_checkpoint(checkpoint, rng):
    path, classifier = checkpoint
    backbone, *_ = load(path, features=True)
    images = rng.standard_normal((2, 48, 40, 3)).astype("float32")
    pyramid = keras.Model(backbone.input, backbone.pyramid_outputs)(images)
    # Before the class token comes in, the two are the same.
    level, layer = list(backbone.pyramid_level_inputs.items())[2]
    trunk = keras.Model(classifier.input, classifier.get_layer(layer).output)
    np.testing.assert_allclose(numpy(pyramid[level]), numpy(trunk(images)), atol=1e-5)


def trained(tmp_path, input_shape, size):
    images = keras.Input(input_shape)
    pixels = keras.layers.Identity(name="preprocessing")(images)
    maps = keras.layers.Conv2D(2, 3, padding="same")(pixels)
    path = tmp_path / "model.keras"
    keras_pvt.save_model(keras.Model(images, maps), path, ["a", "b"], size=size)
    return str(path)


@pytest.mark.parametrize(
    ("input_shape", "size", "expected"),
    [
        ((None, None, 3), (40, 56), (40, 56)),
        ((None, None, 3), None, None),
        ((40, 56, 3), (40, 56), None),
    ],
)
def test_the_size_of_a_trained_model(tmp_path, input_shape, size, expected):
    """What it was trained for, where it takes others too."""
    model, found, _ = load(trained(tmp_path, input_shape, size))
    assert model.input_shape == (None, *input_shape)
    assert found == expected


def test_a_trained_model_is_exported_at_its_size_or_at_any(tmp_path, capsys):
    source = trained(tmp_path, (None, None, 3), (40, 56))
    words = ["export", source, "--format", FORMAT, "--out", str(tmp_path / f"m.{FORMAT}")]
    words += ["--batch-size", "1", "--overwrite"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "images 1 x 40 x 56 x 3" in out
    assert "size 40x56, as it was trained: --size takes another" in out
    assert main([*words, "--size", "any"]) == 0
    out = capsys.readouterr().out
    assert "images 1 x any x any x 3" in out
    assert "as it was trained" not in out


@pytest.mark.parametrize("activation", [None, "softmax"])
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_trained_classifier_ends_in_softmax_or_in_logits(activation, dtype, tmp_path, rng):
    """As the variants do: `keras-pvt train` leaves models that end in logits."""
    model = keras_pvt.classifier(SHALLOW, classifier_activation=activation, dtype=dtype)
    perturb(model)
    path = tmp_path / "model.keras"
    keras_pvt.save_model(model, path, [f"class {n}" for n in range(SHALLOW.classes)])
    images = rng.standard_normal((2, 64, 64, 3)).astype("float32")
    bare = keras_pvt.classifier(SHALLOW, classifier_activation=None)
    perturb(bare)
    logits = numpy(bare(images))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    for wanted, expected in ((False, probabilities), (True, logits)):
        loaded, *_ = load(str(path), logits=wanted)
        found = named(loaded)(images)
        assert list(found) == ["predictions"]
        np.testing.assert_allclose(numpy(found["predictions"]), expected, atol=1e-5)


def test_what_has_no_softmax_of_its_own_to_leave_out(tmp_path):
    images = keras.Input((32, 32, 3))
    pixels = keras.layers.GlobalAveragePooling2D()(images)
    model = keras.Model(images, keras.layers.Softmax(name="end")(pixels))
    path = str(tmp_path / "model.keras")
    keras_pvt.save_model(model, path, ["a", "b", "c"], logits=False)
    assert load(path)[0].output_names == ["end"]
    with pytest.raises(ExportError, match="cannot be left out, as it is none of its last layer"):
        load(path, logits=True)
    model.save(path)
    with pytest.raises(ExportError, match="does not say whether it ends in logits"):
        load(path, logits=True)


@pytest.mark.full("writes one more model")
@pytest.mark.skipif(keras.backend.backend() == "jax", reason="does not write")
def test_keras_file(tmp_path, capsys, rng):
    model = keras_pvt.classifier(SHALLOW)
    perturb(model)
    source, path = tmp_path / "model.keras", tmp_path / f"model.{FORMAT}"
    model.save(source)
    words = [str(source), "--format", FORMAT, "--out", str(path), "--include-preprocessing"]
    assert main(["export", *words]) == 0
    out = capsys.readouterr().out
    assert "predictions" in out
    assert f"images {'any' if FORMAT == 'onnx' else '1'} x 64 x 64 x 3" in out
    pixels = rng.uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    expected = model(keras_pvt.preprocess_input(pixels))
    found = runtimes.load(FORMAT, path)(pixels)["predictions"]
    np.testing.assert_allclose(found, numpy(expected), atol=1e-5)
    with pytest.raises(ExportError, match="is exported whole; features are of variants"):
        load(str(source), features=True)
    with pytest.raises(ExportError, match="weights are for a variant"):
        load(str(source), weights="imagenet")
