"""Artifacts answer as their models do, run by the runtimes that users have."""

import keras
import numpy as np
import pytest
import recipe
from conftest import LINEAR, SHALLOW, V2, perturb

import keras_pvt
from keras_pvt import runtimes
from keras_pvt.conversion import load_checkpoint
from keras_pvt.exporting import ExportError, verification
from keras_pvt.formats import FORMATS
from keras_pvt.ops import BACKEND

# Far from each other and from what is traced or verified; the last leaves one cell in stage 4.
SHAPES = ((1, 64, 64, 3), (3, 72, 104, 3), (1, 250, 133, 3), (2, 33, 40, 3))
# Where another process writes, one is enough.
DYNAMIC = [name for name in FORMATS if BACKEND in FORMATS[name].writers] or ["onnx"]
WRITES = pytest.mark.skipif(BACKEND == "jax", reason="does not write")


@pytest.fixture(scope="module")
def classifier():
    model = keras_pvt.classifier(SHALLOW, input_shape=(None, None, 3), classifier_activation=None)
    perturb(model)
    return model


@pytest.fixture(scope="module")
def backbone():
    model = keras_pvt.PVTBackbone(SHALLOW)
    perturb(model)
    return model


def answers(model, images):
    return {
        name: keras.ops.convert_to_numpy(value)
        for name, value in keras.Model(model.input, model.pyramid_outputs)(images).items()
    }


@pytest.mark.full("test_pyramid_at_a_fixed_size writes each format")
@pytest.mark.parametrize(
    "format",
    [
        pytest.param(
            name,
            marks=()
            if BACKEND in FORMATS[name].writers
            else pytest.mark.one_backend("another process writes it, as this test on its backend"),
        )
        for name in DYNAMIC
    ],
)
def test_any_batch_and_size(format, classifier, tmp_path, rng):
    path = tmp_path / f"model{FORMATS[format].suffix}"
    exported = keras_pvt.export(classifier, path, format, batch_size=None, verify=False)
    assert exported.input_shape == (None, None, None, 3)
    run = runtimes.load(format, path)
    for shape in SHAPES:
        images = rng.standard_normal(shape).astype("float32")
        found = run(images)
        assert list(found) == ["predictions"]
        expected = keras.ops.convert_to_numpy(classifier(images))
        np.testing.assert_allclose(found["predictions"], expected, atol=1e-5)


@pytest.mark.parametrize(
    "format",
    [
        pytest.param(
            name,
            marks=()
            if BACKEND in facts.writers or (BACKEND, name) == ("jax", "tflite")
            else pytest.mark.full("another process writes it, as a test on its backend does"),
        )
        for name, facts in FORMATS.items()
    ],
)
def test_pyramid_at_a_fixed_size(format, backbone, tmp_path, rng):
    path = tmp_path / f"model{FORMATS[format].suffix}"
    exported = keras_pvt.export(backbone, path, format, size=(72, 104), batch_size=2)
    assert {row.output for row in exported.comparisons} == {"P2", "P3", "P4", "P5"}
    assert exported.passed
    assert exported.size >= 100_000
    images = rng.standard_normal((2, 72, 104, 3)).astype("float32")
    found = runtimes.load(format, path)(images)
    for level, expected in answers(backbone, images).items():
        np.testing.assert_allclose(found[level], expected, atol=2e-5)


@WRITES
@pytest.mark.parametrize(
    "config", [pytest.param(V2, marks=pytest.mark.full("as with pooling")), LINEAR],
    ids=["reduced", "pooled"],
)  # fmt: skip
@pytest.mark.parametrize(
    "format",
    [
        pytest.param(
            name,
            marks=pytest.mark.full("made of the ONNX file")
            if (BACKEND, name) == ("torch", "openvino")
            else (),
        )
        for name in DYNAMIC
    ],
)
def test_pyramid_of_v2(format, config, tmp_path, rng):
    """At sides that no stride and no pooling divides."""
    backbone = keras_pvt.PVTBackbone(config)
    perturb(backbone)
    path = tmp_path / f"model{FORMATS[format].suffix}"
    assert keras_pvt.export(backbone, path, format, size=(75, 101), batch_size=2).passed
    images = rng.standard_normal((2, 75, 101, 3)).astype("float32")
    found = runtimes.load(format, path)(images)
    for level, expected in answers(backbone, images).items():
        np.testing.assert_allclose(found[level], expected, atol=2e-5)


@pytest.mark.full("writes two more models in each format")
@WRITES
@pytest.mark.parametrize("config", [V2, LINEAR], ids=["reduced", "pooled"])
@pytest.mark.parametrize("format", DYNAMIC)
def test_any_size_of_v2(format, config, tmp_path, rng):
    model = keras_pvt.classifier(config, input_shape=(None, None, 3), classifier_activation=None)
    perturb(model)
    path = tmp_path / f"model{FORMATS[format].suffix}"
    assert keras_pvt.export(model, path, format, batch_size=None).passed
    run = runtimes.load(format, path)
    for shape in (*SHAPES, (1, 65, 193, 3)):
        images = rng.standard_normal(shape).astype("float32")
        expected = keras.ops.convert_to_numpy(model(images))
        np.testing.assert_allclose(run(images)["predictions"], expected, atol=2e-5, err_msg=shape)


@pytest.mark.full("writes one more model")
@WRITES
def test_artifact_equals_the_official_code(tmp_path):
    model = keras_pvt.PVTTiny(weights=None, classifier_activation=None)
    load_checkpoint(model, recipe.state_dict("pvt_tiny"))
    path = tmp_path / "model.onnx"  # test_tflite.py has the other
    keras_pvt.export(model, path, "onnx", batch_size=2, verify=False)
    found = runtimes.load("onnx", path)(recipe.images(224, 224))["predictions"]
    expected = recipe.golden("pvt_tiny")["224x224/logits"]
    assert np.abs(found - expected).max() <= 2e-5


@pytest.mark.full("writes one more model")
@WRITES
def test_half_precision_is_exported_in_float32(tmp_path, rng):
    half = keras_pvt.classifier(SHALLOW, dtype="mixed_bfloat16", classifier_activation=None)
    perturb(half)
    format = "onnx" if BACKEND == "torch" else "tflite"
    path = tmp_path / f"model{FORMATS[format].suffix}"
    keras_pvt.export(half, path, format)
    single = keras_pvt.classifier(SHALLOW, classifier_activation=None)
    perturb(single)
    images = rng.standard_normal((1, 64, 64, 3)).astype("float32")
    found = runtimes.load(format, path)(images)["predictions"]
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(single(images)), atol=1e-5)


@pytest.mark.full("writes one more model")
@WRITES
def test_preprocessing_inside(classifier, tmp_path, rng):
    format = "onnx" if BACKEND == "torch" else "tflite"
    path = tmp_path / f"model{FORMATS[format].suffix}"
    keras_pvt.export(classifier, path, format, size=(64, 96), include_preprocessing=True)
    pixels = rng.uniform(0, 255, (1, 64, 96, 3)).astype("float32")
    expected = classifier(keras_pvt.preprocess_input(pixels))
    np.testing.assert_allclose(
        runtimes.load(format, path)(pixels)["predictions"],
        keras.ops.convert_to_numpy(expected),
        atol=1e-5,
    )


@pytest.mark.one_backend("what is said")
@WRITES
def test_an_artifact_that_differs_is_refused(classifier, tmp_path, monkeypatch):
    def wrong(format, path):
        run = load(format, path)
        return lambda images: {name: value + 1e-3 for name, value in run(images).items()}

    load = runtimes.load
    monkeypatch.setattr(runtimes, "load", wrong)
    format = "onnx" if BACKEND == "torch" else "tflite"
    path = tmp_path / f"model{FORMATS[format].suffix}"
    path.write_bytes(b"what was there")
    with pytest.raises(ExportError, match=r"differs from its model by 0\.001"):
        keras_pvt.export(classifier, path, format, size=(64, 64), overwrite=True)
    assert path.read_bytes() == b"what was there"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.one_backend("of NumPy alone")
@pytest.mark.parametrize("quantize", [None, *verification.COSINES])
def test_comparison_has_its_limits(quantize):
    expected = np.array([[3.0, -4.0]])
    compared = verification._compared("y", (1,), expected, expected, quantize)
    assert (compared.error, compared.passed) == (0, True)
    turned = expected + np.array([[4.0, 3.0]]) * (1e-3 if quantize is None else 0.12)
    assert not verification._compared("y", (1,), expected, turned, quantize).passed
    assert not verification._compared("y", (1,), expected, expected[0], quantize).passed
