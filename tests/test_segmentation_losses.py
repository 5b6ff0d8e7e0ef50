"""The loss and the accuracy of pixels against SciPy and NumPy."""

import keras
import numpy as np
import pytest
from scipy.special import log_softmax

from keras_pvt.segmentation import PixelAccuracy, PixelCrossentropy

IGNORED = 255
SHAPE = (2, 5, 7)


@pytest.fixture
def labels(rng):
    """Of 4 classes, a fifth of the pixels ignored, and more of them in the second image."""
    labels = rng.integers(0, 4, SHAPE)
    labels[0, 0], labels[1, :2] = IGNORED, IGNORED
    return labels.astype("int32")


@pytest.fixture
def logits(rng):
    return rng.normal(0, 3, (*SHAPE, 4)).astype("float32")


def by_hand(labels, logits):
    """Sum of the losses, and number of pixels that count."""
    where = np.nonzero(labels != IGNORED)
    return -log_softmax(logits.astype("float64"), axis=-1)[(*where, labels[where])].sum(), len(
        where[0]
    )


def test_the_mean_is_over_all_pixels_or_those_that_count(labels, logits):
    total, count = by_hand(labels, logits)
    assert 0 < count < labels.size
    assert float(PixelCrossentropy()(labels, logits)) == pytest.approx(total / labels.size)
    valid = PixelCrossentropy(mean_over="valid")
    assert float(valid(labels, logits)) == pytest.approx(total / count)


def test_another_label_can_be_ignored(labels, logits):
    total, _ = by_hand(np.where(labels == 2, IGNORED, labels), logits)
    loss = PixelCrossentropy(ignore=2)
    assert float(loss(labels, logits)) == pytest.approx(total / labels.size)


@pytest.mark.parametrize("kind", [PixelCrossentropy, PixelAccuracy])
def test_label_255_is_ignored_only_where_it_is_no_class(kind, rng):
    labels = np.array([[[255, 279, 280]]], "int32")
    logits = rng.normal(0, 3, (1, 1, 3, 280)).astype("float32")
    logits[0, 0, 0, 255] = 20
    with pytest.raises(ValueError, match="label 255 is ignored by default, and is one of 280"):
        kind()(labels, logits)
    counted = log_softmax(logits[0, 0].astype("float64"), axis=-1)[[0, 1], [255, 279]]
    expected = {"PixelCrossentropy": -counted.sum() / 3, "PixelAccuracy": 0.5}[kind.__name__]
    assert float(kind(ignore=-1)(labels, logits)) == pytest.approx(expected, rel=1e-5)


def test_images_can_be_weighted(labels, logits):
    sums = [by_hand(labels[n : n + 1], logits[n : n + 1])[0] for n in range(2)]
    weight = np.array([0.5, 2], "float32")[:, None, None]
    loss = PixelCrossentropy()(labels, logits, sample_weight=weight)
    assert float(loss) == pytest.approx((0.5 * sums[0] + 2 * sums[1]) / labels.size)


def test_logits_are_resized_to_the_labels(labels, rng):
    """Half-pixel centres, worked out for a row of two cells over seven pixels."""
    cells = rng.normal(size=(2, 1, 2, 4)).astype("float32")
    right = np.clip((np.arange(7) + 0.5) * 2 / 7 - 0.5, 0, 1)[None, None, :, None]
    logits = np.broadcast_to(cells[:, :, :1] * (1 - right) + cells[:, :, 1:] * right, (*SHAPE, 4))
    total, _ = by_hand(labels, logits)
    assert float(PixelCrossentropy()(labels, cells)) == pytest.approx(total / labels.size, rel=1e-5)
    metric = PixelAccuracy()
    metric.update_state(labels, cells)
    found = (logits.argmax(-1) == labels)[labels != IGNORED].mean()
    assert float(metric.result()) == pytest.approx(found)


@pytest.mark.parametrize("mean_over", ["all", "valid"])
def test_nothing_to_learn_costs_nothing(logits, mean_over):
    loss = PixelCrossentropy(mean_over=mean_over)
    assert float(loss(np.full(SHAPE, IGNORED, "int32"), logits)) == 0


def test_labels_out_of_range_do_not_count(labels, logits):
    for wrong in (4, 200, -1, 70_000):
        changed = np.where(labels == IGNORED, wrong, labels)
        assert float(PixelCrossentropy()(changed, logits)) == pytest.approx(
            float(PixelCrossentropy()(labels, logits))
        )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_logits_of_half_precision_are_computed_in_float32(labels, logits, dtype, monkeypatch):
    """Also where all of Keras is told to compute so."""
    monkeypatch.setattr(keras.config, "floatx", lambda: dtype)
    half = keras.ops.cast(logits * 300, dtype)
    total, count = by_hand(labels, keras.ops.convert_to_numpy(keras.ops.cast(half, "float32")))
    loss = PixelCrossentropy(mean_over="valid")(labels, half)
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert float(loss) == pytest.approx(total / count, rel=1e-5)


def test_ignored_pixels_have_no_gradient():
    """A model of one pixel each: those that are ignored keep their logits."""
    inputs = keras.Input((1, 3, 3))
    layer = keras.layers.Conv2D(2, 1, use_bias=False, kernel_initializer="zeros")
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(1.0), PixelCrossentropy(), metrics=[PixelAccuracy()])
    pixels = np.eye(3, dtype="float32")[None, None]  # each pixel has a row of weights
    result = model.train_on_batch(pixels, np.array([[[1, IGNORED, 0]]]), return_dict=True)
    assert result["loss"] == pytest.approx(np.log(2) * 2 / 3)
    assert result["accuracy"] == 0.5  # of ties the first class
    expected = np.array([[-0.5, 0.5], [0, 0], [0.5, -0.5]]) / 3
    np.testing.assert_allclose(layer.get_weights()[0][0, 0], expected, atol=1e-6)


def test_accuracy_is_over_all_batches(labels, logits):
    metric = PixelAccuracy()
    for n in range(2):  # unequal numbers of pixels count
        metric.update_state(labels[n : n + 1], logits[n : n + 1])
    right = (logits.argmax(-1) == labels)[labels != IGNORED]
    assert float(metric.result()) == pytest.approx(right.mean())
    metric.reset_state()
    assert float(metric.result()) == 0
    metric.update_state(labels, logits, sample_weight=np.array([1, 0]))
    first = (logits.argmax(-1) == labels)[0][labels[0] != IGNORED]
    assert float(metric.result()) == pytest.approx(first.mean())


def test_configurations_round_trip():
    loss = PixelCrossentropy(ignore=7, mean_over="valid")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert (again.ignore, again.mean_over, again.name) == (7, "valid", "pixel_crossentropy")
    metric = PixelAccuracy(ignore=7)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert (again.ignore, again.name) == (7, "accuracy")


def test_bad_arguments_are_named(labels, logits):
    with pytest.raises(ValueError, match="one of all, valid; got 'some'"):
        PixelCrossentropy(mean_over="some")
    for function in (PixelCrossentropy(), PixelAccuracy().update_state):
        with pytest.raises(ValueError, match=r"shapes \(2, 5, 7, 1\) and \(2, 5, 7, 4\)"):
            function(labels[..., None], logits)
