"""Keras's own quantization: every dense layer, saved and loaded without a difference."""

import keras
import numpy as np
import pytest
from conftest import LINEAR, SHALLOW, V2, perturb
from contracts import compiled

import keras_pvt
from keras_pvt import layers, runtimes
from keras_pvt.detection import DETR, MaskRCNN, RetinaNet
from keras_pvt.exporting import ExportError
from keras_pvt.formats import FORMATS
from keras_pvt.ops import BACKEND
from keras_pvt.segmentation import SemanticFPN, Trans2Seg

pytestmark = pytest.mark.one_backend(
    "Keras's own, of layers that other tests have on each", full=True
)
# Of a model that is not from a constructor here, Keras says which layers stay as they are.
KERAS_WARNS = pytest.mark.filterwarnings(
    r"ignore:(Layer .* does not have a `quantize` method|`model.quantize\(\)`. .* were skipped)"
)


AS_INT8 = pytest.mark.one_backend("the same layers as of the first")


def dense_layers(model):
    return [part for part in model._flatten_layers() if isinstance(part, keras.layers.Dense)]


def answer(model, images):
    outputs = keras.tree.flatten(compiled(model)(images))
    return [keras.ops.convert_to_numpy(value) for value in outputs]


@pytest.mark.parametrize(
    ("build", "mode", "config"),
    [
        (keras_pvt.classifier, "int8", SHALLOW),
        pytest.param(
            keras_pvt.PVTBackbone,
            "int4",
            SHALLOW,
            marks=[pytest.mark.full("as the classifier"), AS_INT8],
        ),
        pytest.param(
            keras_pvt.classifier, "int8", LINEAR, marks=[pytest.mark.full("once more"), AS_INT8]
        ),
        pytest.param(
            keras_pvt.PVTBackbone,
            "int4",
            V2,
            marks=[pytest.mark.full("as the classifier"), AS_INT8],
        ),
    ],
)
def test_saved_and_loaded_without_a_difference(build, mode, config, tmp_path, rng):
    model = build(config, input_shape=(64, 96, 3))
    perturb(model)
    images = rng.standard_normal((2, 64, 96, 3)).astype("float32")
    expected = answer(model, images)
    model.quantize(mode)
    blocks = sum(SHALLOW.depths)
    assert len(dense_layers(model)) == 5 * blocks + (build is keras_pvt.classifier)
    assert all(part.quantization_mode == mode for part in dense_layers(model))
    quantized = answer(model, images)
    for ours, before in zip(quantized, expected, strict=True):
        assert np.abs(ours - before).max() > 0
        cosine = (ours * before).sum() / np.linalg.norm(ours) / np.linalg.norm(before)
        assert cosine >= {"int8": 0.999, "int4": 0.7}[mode]

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert all(part.quantization_mode == mode for part in dense_layers(loaded))
    loaded.save(tmp_path / "again.keras")
    again = keras.saving.load_model(tmp_path / "again.keras", safe_mode=True)
    for copy in (loaded, again):
        for ours, before in zip(answer(copy, images), quantized, strict=True):
            np.testing.assert_array_equal(ours, before)


BACKBONE = {"variant": SHALLOW, "input_shape": (64, 96, 3), "include_preprocessing": True}
SYSTEMS = {
    "backbone": lambda: keras_pvt.PVTBackbone(**BACKBONE, drop_rate=0.1),
    "retinanet": lambda: RetinaNet(keras_pvt.PVTBackbone(**BACKBONE), 3, 12, 1),
    "mask_rcnn": lambda: MaskRCNN(keras_pvt.PVTBackbone(**BACKBONE), 3, 12, 16),
    "detr": lambda: DETR(keras_pvt.PVTBackbone(**BACKBONE, name="images"), 3, 9, 16, 1, 2, 24),
    "semantic_fpn": lambda: SemanticFPN(keras_pvt.PVTBackbone(**BACKBONE), 3, 16, 8),
    "trans2seg": lambda: Trans2Seg(
        keras_pvt.PVTBackbone(**BACKBONE), 3, embed_dim=16, depth=1, num_heads=4, head_width=8
    ),
}


@pytest.mark.one_backend("warnings of Keras's, whatever computes")
@pytest.mark.parametrize(
    "system",
    [
        pytest.param(name, marks=() if name == "backbone" else pytest.mark.full("as the backbone"))
        for name in SYSTEMS
    ],
)
def test_no_layer_is_warned_of(system):
    """Neither of those that hold quantized ones, nor of norms and convolutions."""
    model = SYSTEMS[system]()
    model.quantize("int8", filters=lambda layer: False)  # Keras's own argument is there still
    assert not [part for part in dense_layers(model) if part.quantization_mode]
    model.quantize("int8")
    assert all(part.quantization_mode == "int8" for part in dense_layers(model))


@pytest.mark.full("as the backbone, after a file")
@pytest.mark.one_backend("warnings of Keras's, whatever computes")
def test_no_layer_of_a_loaded_classifier_is_warned_of(tmp_path):
    model = keras_pvt.classifier(SHALLOW, input_shape=(64, 96, 3), include_preprocessing=True)
    keras_pvt.save_model(model, tmp_path / "model.keras", [f"class {n}" for n in range(7)])
    loaded = keras_pvt.load_model(tmp_path / "model.keras").model
    for one in (model, loaded):
        one.quantize("int8")
        assert all(part.quantization_mode == "int8" for part in dense_layers(one))


@KERAS_WARNS
@pytest.mark.parametrize(
    "layer",
    [
        layers.FeedForward(8, 12),
        layers.SpatialReductionAttention(8, 2, sr_ratio=2),
        layers.EncoderBlock(8, 2, sr_ratio=2),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_alone(layer, tmp_path, rng):
    model = keras.Sequential([keras.Input((6, 4, 8)), layer])
    perturb(model)
    model.quantize("int8")
    x = rng.standard_normal((2, 6, 4, 8)).astype("float32")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert all(part.quantization_mode == "int8" for part in dense_layers(loaded))
    np.testing.assert_array_equal(answer(loaded, x), answer(model, x))


WHOLE = pytest.mark.full("takes a minute for what one block shows")
MODELS = [pytest.param("classifier", marks=WHOLE), "block"]
# Of what docs/export.md lists; the rest of its table takes minutes.
EXPORTED = {"tensorflow": ("int8", "saved_model"), "torch": ("int8", "onnx")}
REFUSED = {"tensorflow": ("int8", "tflite"), "torch": ("int4", "onnx")}


def quantized(kind, mode):
    """A classifier, or a block of one with a head."""
    if kind == "classifier":
        model = keras_pvt.classifier(SHALLOW, input_shape=(64, 96, 3))
    else:
        images = keras.Input((64, 96, 3))
        x = layers.EncoderBlock(8, 2, sr_ratio=2)(layers.PatchEmbedding(8, 8)(images))
        x = keras.layers.Dense(7)(keras.layers.GlobalAveragePooling2D()(x))
        model = keras.Model(images, keras.layers.Softmax(name="predictions")(x))
    perturb(model)
    model.quantize(mode)
    return model


@KERAS_WARNS
@pytest.mark.skipif(BACKEND not in EXPORTED, reason="does not write")
@pytest.mark.parametrize("kind", MODELS)
def test_a_quantized_model_is_exported(kind, tmp_path, rng):
    mode, format = EXPORTED[BACKEND]
    model = quantized(kind, mode)
    path = tmp_path / f"model{FORMATS[format].suffix}"
    keras_pvt.export(model, path, format, batch_size=2, verify=False)
    images = rng.standard_normal((2, 64, 96, 3)).astype("float32")
    found = runtimes.load(format, path)(images)["predictions"]
    # A value on the edge between two whole numbers may be rounded either way.
    np.testing.assert_allclose(found, answer(model, images)[0], atol=5e-3)


@KERAS_WARNS
@pytest.mark.skipif(BACKEND not in REFUSED, reason="does not write")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("classifier", marks=[WHOLE, pytest.mark.one_backend("as of a block")]),
        "block",
    ],
)
def test_what_cannot_be_exported_is_said(kind, tmp_path):
    mode, format = REFUSED[BACKEND]
    path = tmp_path / f"model{FORMATS[format].suffix}"
    with pytest.raises(ExportError, match=rf"Keras has quantized this model \({mode}\)") as caught:
        keras_pvt.export(quantized(kind, mode), path, format, batch_size=1)
    assert "\n" not in str(caught.value)
    assert "loc(" not in str(caught.value)
    assert not list(tmp_path.iterdir())
