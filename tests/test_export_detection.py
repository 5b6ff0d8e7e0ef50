"""Suppression inside an exported graph."""

import keras
import numpy as np
import pytest
from test_boxes import random_boxes

import keras_pvt
from keras_pvt import runtimes
from keras_pvt.detection import NonMaxSuppression
from keras_pvt.exporting import ExportError
from keras_pvt.formats import FORMATS
from keras_pvt.ops import BACKEND

CLASSES = 3
WRITTEN = {"tensorflow": ("tflite", "onnx", "saved_model", "openvino"), "torch": ("onnx",)}


@pytest.fixture(scope="module")
def detector():
    """A head without weights: each cell of its map is a box and the scores of its classes."""
    cells = keras.Input((12, 10, 4 + CLASSES))
    rows = keras.layers.Reshape((-1, 4 + CLASSES))(cells)
    suppression = NonMaxSuppression("xyxy", from_logits=False, max_detections=20, max_candidates=60)
    return keras.Model(cells, suppression(rows[..., :4], rows[..., 4:]))


def cells(rng, count):
    boxes = random_boxes(rng, count, 120)
    # A chain, in which each box beats the next, takes the most passes.
    boxes[0, :40] = np.arange(40)[:, None] * [3, 0, 3, 0] + [0, 0, 10, 10]
    scores = rng.uniform(0, 1, (count, 120, CLASSES))
    scores[0, :40, 0] = np.linspace(1, 0.6, 40)
    return np.concatenate([boxes, scores], axis=-1).astype("float32").reshape(count, 12, 10, -1)


@pytest.mark.parametrize(
    "format",
    [
        pytest.param(name, marks=() if name == "onnx" else pytest.mark.full("as in ONNX"))
        for name in WRITTEN.get(BACKEND, ["tflite"])
    ],
)
def test_suppression_in_a_graph(format, detector, tmp_path, rng):
    path = tmp_path / f"model{FORMATS[format].suffix}"
    keras_pvt.export(detector, path, format, batch_size=2, verify=False)
    run = runtimes.load(format, path)
    for _ in range(3):
        x = cells(rng, 2)
        found, expected = run(x), detector(x)
        assert found.keys() == expected.keys() - {"labels"}  # the classes once more
        for name, value in found.items():
            y = keras.ops.convert_to_numpy(expected[name])
            np.testing.assert_allclose(value, y, atol=1e-5)
        assert found["num_detections"].min() > 5


@pytest.mark.one_backend("what is said")
@pytest.mark.parametrize("quantize", ["int8", "full-int8"])
def test_suppression_is_not_computed_in_int8(quantize, detector, tmp_path, rng):
    images = cells(rng, 2)
    with pytest.raises(ExportError, match=f"not quantized as '{quantize}': take 'dynamic' or"):
        keras_pvt.export(
            detector, tmp_path / "m.tflite", "tflite", quantize=quantize, representative=images
        )
    assert not list(tmp_path.iterdir())
