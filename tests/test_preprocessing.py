import logging

import keras
import numpy as np
import pytest

from keras_pvt.models import preprocessing
from keras_pvt.models.preprocessing import preprocess_input
from keras_pvt.variants import WEIGHTS

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "float64", "float16"])
def test_normalises_by_the_statistics_of_the_weights(rng, dtype):
    images = rng.integers(0, 256, (2, 5, 7, 3)).astype(dtype)
    before = images.copy()
    result = preprocess_input(images)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(images, before)
    assert not np.shares_memory(result, images)
    for facts in WEIGHTS.values():
        expected = (before.astype("float64") / 255 - facts.mean) / facts.std
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


def test_values_by_hand():
    result = preprocess_input(np.array([[[0, 255, 51]]], "uint8"))
    np.testing.assert_allclose(result, [[[-2.117904, 2.428571, -0.915556]]], atol=1e-6)


def test_is_what_keras_calls_torch_mode(rng):
    images = rng.integers(0, 256, (2, 5, 7, 3)).astype("float32")
    theirs = keras.applications.imagenet_utils.preprocess_input(
        images.copy(), data_format="channels_last", mode="torch"
    )
    np.testing.assert_allclose(preprocess_input(images), theirs, rtol=0, atol=1e-6)


def test_other_channel_counts_repeat_or_average():
    gray = preprocess_input(np.full((1, 1, 1), 255.0))
    np.testing.assert_allclose(gray, (1 - np.mean([0.485, 0.456, 0.406])) / 0.226, rtol=1e-6)
    four = preprocess_input(np.full((1, 1, 4), 255.0))
    assert four[0, 0, 3] == four[0, 0, 0] != four[0, 0, 1]


def test_scaled_floats_are_warned_of_once(caplog):
    preprocessing._warn_scaled.cache_clear()
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        preprocess_input(np.ones((2, 2, 3), "uint8"))
        preprocess_input(np.full((2, 2, 3), 1.5))
        preprocess_input(np.zeros((0, 2, 2, 3)))
        assert not caplog.records
        preprocess_input(np.ones((2, 2, 3)))
        preprocess_input(np.ones((2, 2, 3), "float32"))
    assert len(caplog.records) == 1
    assert "0..255" in caplog.text


def test_channels_first_is_refused():
    with pytest.raises(ValueError, match=r"channels-last.*\(2, 3, 8, 8\)"):
        preprocess_input(np.zeros((2, 3, 8, 8), "uint8"))
