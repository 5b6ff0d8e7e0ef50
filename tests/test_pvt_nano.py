"""The weights that ship with the package, measured again on images they never saw."""

import pathlib

import pytest
from cifar10_photographs import photographs

import keras_pvt

pytestmark = pytest.mark.one_backend("the numbers of a file", full=True)

WEIGHTS = pathlib.Path(keras_pvt.__file__).parent / "data" / "pvt_nano_cifar10.safetensors"
CORRECT = 342  # of 400; docs/pvt_nano.md has the whole validation set


def test_bundled_weights_reach_the_recorded_accuracy():
    images, labels = photographs()
    model = keras_pvt.PVTNano(weights="cifar10")
    y = model.predict(keras_pvt.preprocess_input(images), batch_size=100, verbose=0)
    correct = int((y.argmax(-1) == labels).sum())
    assert len(images) == 400
    # Backends round differently: an image on the edge may fall either way.
    assert abs(correct - CORRECT) <= 2


def test_bundled_weights_are_small():
    assert WEIGHTS.stat().st_size <= 4_000_000
