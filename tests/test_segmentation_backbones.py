"""Semantic FPN on a backbone that is not ours."""

import importlib

import keras
import numpy as np
import pytest

from keras_pvt.segmentation import PixelCrossentropy, Predictor, SemanticFPN, TrainedSegmenter

pytestmark = pytest.mark.one_backend("KerasHub has tests of backends itself", full=True)

CLASSES = ("sky", "tree", "road")


@pytest.fixture(scope="module")
def model():
    """On a ResNet of KerasHub, a block in each stage."""
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 12, 16, 24],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
        image_shape=(None, None, 3),
    )
    return SemanticFPN(backbone, len(CLASSES), neck_width=8, head_width=8, drop_rate=0)


def test_a_resnet_of_keras_hub_is_trained_used_and_kept(model, rng, tmp_path, monkeypatch):
    images = rng.normal(size=(2, 64, 96, 3)).astype("float32")
    labels = rng.integers(0, len(CLASSES), (2, 64, 96))
    before = [np.array(w) for w in model.get_weights()]
    model.compile("sgd", PixelCrossentropy())
    loss = float(model.train_on_batch(images, labels))
    assert 0.5 < loss < 5  # log(3) is chance
    changed = {
        weight.path
        for weight, old in zip(model.weights, before, strict=True)
        if not np.array_equal(keras.ops.convert_to_numpy(weight), old)
    }
    assert changed >= {weight.path for weight in model.trainable_weights}

    image = rng.integers(0, 256, (60, 90, 3), "uint8")
    predictor = Predictor(model)
    probabilities = predictor.probabilities(image)
    assert probabilities.shape == (60, 90, len(CLASSES))
    np.testing.assert_array_equal(predictor.labels(image), probabilities.argmax(-1))

    TrainedSegmenter(model, CLASSES).save(tmp_path / "resnet.keras")
    imported = []
    monkeypatch.setattr(importlib, "import_module", imported.append)
    again = TrainedSegmenter.load(tmp_path / "resnet.keras")
    assert imported == ["keras_hub"]
    for old, new in zip(model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
