"""The weights that ship with the package, measured again on images they never saw."""

import pathlib

import pytest
from cifar10_photographs import photographs

import keras_pvt

pytestmark = pytest.mark.one_backend("the numbers of a file", full=True)

DATA = pathlib.Path(keras_pvt.__file__).parent / "data"
# Of 400; docs/pvt_nano.md has the whole validation set.
CORRECT = {"pvt_nano": 342, "pvt_v2_nano": 363}


@pytest.mark.parametrize("variant", CORRECT)
def test_bundled_weights_reach_the_recorded_accuracy(variant):
    images, labels = photographs()
    model = keras_pvt.classifier(variant, weights="cifar10")
    y = model.predict(keras_pvt.preprocess_input(images), batch_size=100, verbose=0)
    correct = int((y.argmax(-1) == labels).sum())
    assert len(images) == 400
    # Backends round differently: an image on the edge may fall either way.
    assert abs(correct - CORRECT[variant]) <= 2


@pytest.mark.parametrize("variant", CORRECT)
def test_bundled_weights_are_small(variant):
    assert (DATA / f"{variant}_cifar10.safetensors").stat().st_size <= 4_500_000


def test_the_small_model_of_pvt_v2_is_small():
    assert keras_pvt.PVTV2Nano().count_params() <= 2_200_000
