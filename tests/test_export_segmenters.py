"""Segmentation models in other formats: logits, or the numbers of classes."""

import keras
import numpy as np
import pytest
from conftest import SHALLOW, perturb

import keras_pvt
from keras_pvt import runtimes
from keras_pvt.cli import main
from keras_pvt.conversion import save_checkpoint, to_torch
from keras_pvt.exporting import ExportError, verification
from keras_pvt.exporting.sources import CROP, load
from keras_pvt.exporting.subject import named
from keras_pvt.formats import FORMATS
from keras_pvt.ops import BACKEND
from keras_pvt.segmentation import SemanticFPN, Trans2Seg

CLASSES = 5
SIZE = (64, 96)
# System, format, and whether it gives the numbers of classes.
CASES = {
    "tensorflow": [
        ("semantic_fpn", "saved_model", False),
        ("semantic_fpn", "tflite", True),
        ("trans2seg", "tflite", False),
        ("trans2seg", "onnx", True),
    ],
    "torch": [("semantic_fpn", "onnx", True), ("trans2seg", "onnx", False)],
    # Another process writes.
    "jax": [("semantic_fpn", "tflite", True)],
}


@pytest.fixture(scope="module")
def models():
    backbone = keras_pvt.PVTBackbone(SHALLOW, (*SIZE, 3), include_preprocessing=True)
    models = {
        "semantic_fpn": SemanticFPN(keras_pvt.PVTBackbone(SHALLOW), CLASSES, 16, 8),
        "trans2seg": Trans2Seg(
            backbone, CLASSES, embed_dim=16, depth=2, num_heads=4, head_width=8, class_chunk=2
        ),
    }
    for model in models.values():
        perturb(model)
    return models


def images(rng, system, batch, size):
    x = rng.standard_normal((batch, *size, 3)).astype("float32")
    return 128 + 60 * x if system == "trans2seg" else x


@pytest.mark.full("writes a model of each segmenter")
@pytest.mark.parametrize(("system", "format", "argmax"), CASES[BACKEND])
def test_artifact_answers_as_its_model(system, format, argmax, models, tmp_path, rng):
    path = tmp_path / f"model{FORMATS[format].suffix}"
    batch = 1 if format == "tflite" else None
    exported = keras_pvt.export(
        models[system], path, format, argmax=argmax, batch_size=batch, verify=False
    )
    sides = SIZE if system == "trans2seg" else (None, None)
    assert exported.input_shape == (batch, *sides, 3)
    run = runtimes.load(format, path)
    for size in (SIZE,) if system == "trans2seg" else (SIZE, (72, 104)):
        x = images(rng, system, batch or 2, size)
        logits = keras.ops.convert_to_numpy(models[system](x))
        found = run(x)
        if argmax:
            assert list(found) == ["labels"]
            assert found["labels"].dtype == "int32"
            assert found["labels"].shape == logits.shape[:3]
            assert (found["labels"] == logits.argmax(axis=-1)).mean() > 0.999
        else:
            assert list(found) == ["logits"]
            np.testing.assert_allclose(found["logits"], logits, atol=1e-4)


@pytest.mark.full("writes one more model")
@pytest.mark.skipif(BACKEND == "jax", reason="does not write")
def test_checkpoint_by_the_command(models, tmp_path, capsys):
    source = tmp_path / "nano.safetensors"
    model = SemanticFPN(keras_pvt.PVTBackbone("pvt_nano"), 3, 8, 8)
    perturb(model)
    save_checkpoint(to_torch(model), source)
    loaded, size, _ = load(str(source))
    assert (loaded.system, loaded.input_shape, size) == (
        "semantic_fpn",
        (None, None, None, 3),
        CROP,
    )
    format = "onnx" if BACKEND == "torch" else "saved_model"
    path = tmp_path / f"nano{FORMATS[format].suffix}"
    words = ["export", str(source), "--format", format, "--out", str(path), "--size", "64x96"]
    assert main([*words, "--argmax", "--batch-size", "1"]) == 0
    out = capsys.readouterr().out
    assert "labels" in out
    assert "of the pixels" in out
    x = np.random.default_rng(0).standard_normal((1, *SIZE, 3)).astype("float32")
    labels = runtimes.load(format, path)(x)["labels"]
    expected = keras.ops.convert_to_numpy(model(x)).argmax(axis=-1)
    assert len(np.unique(expected)) > 1
    assert (labels == expected).mean() > 0.999


@pytest.mark.one_backend("what is said")
def test_a_trans2seg_knows_its_size(models, tmp_path):
    backbone = keras_pvt.PVTBackbone("pvt_nano", (64, 32, 3))
    model = Trans2Seg(backbone, 3, embed_dim=8, depth=1, num_heads=2, skip_level=None)
    source = str(tmp_path / "a.npz")
    save_checkpoint(to_torch(model), source)
    with pytest.raises(ValueError, match="8 cells of 16 x 16 pixels"):
        load(source)
    with pytest.raises(ValueError, match="no square"):
        load(source, size=(None, None))
    loaded, size, _ = load(source, size=(64, 32))
    assert (loaded.input_shape, size) == ((None, 64, 32, 3), None)
    with pytest.raises(ExportError, match="height of 64 pixels; got 128"):
        keras_pvt.export(models["trans2seg"], tmp_path / "a", "saved_model", size=(128, 128))


@pytest.mark.one_backend("what is said")
@pytest.mark.parametrize("build", [keras_pvt.classifier, keras_pvt.PVTBackbone])
def test_argmax_is_for_segmentation(build):
    with pytest.raises(ExportError, match="argmax is for segmentation models"):
        named(build(SHALLOW), argmax=True)


@pytest.mark.one_backend("done before a format is written")
def test_half_precision_gives_the_same_classes(rng):
    """In float32, as all artifacts."""
    x = images(rng, "semantic_fpn", 1, SIZE)
    results = []
    for dtype in ("float32", "mixed_bfloat16"):
        model = SemanticFPN(keras_pvt.PVTBackbone(SHALLOW, dtype=dtype), CLASSES, 16, 8)
        perturb(model)
        results.append(keras.ops.convert_to_numpy(named(model, argmax=True)(x)["labels"]))
    assert len(np.unique(results[0])) > 1
    np.testing.assert_array_equal(*results)


@pytest.mark.one_backend("of NumPy alone")
@pytest.mark.parametrize(("wrong", "passed"), [(1, True), (20, False)])
def test_numbers_of_classes_are_compared_by_share(wrong, passed):
    expected = np.arange(10_000, dtype="int32").reshape(1, 100, 100) % 7
    found = expected.copy()
    found.flat[:wrong] += 1
    compared = verification._compared("labels", (1, 100, 100, 3), expected, found, None)
    assert (compared.error, compared.passed) == (wrong / 10_000, passed)
    assert compared.difference == f"{wrong / 100:.3f}% of the pixels"
    assert compared.allowed == "0.1%"
