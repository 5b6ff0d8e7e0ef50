"""Learning rates over the steps, against figures of the official code's scheduler."""

import keras
import numpy as np
import pytest

from keras_pvt import training
from keras_pvt.training.schedule import OfficialCosine

pytestmark = pytest.mark.one_backend("a function of one number")

# Epoch to rate, of timm 0.3.2's CosineLRScheduler as whai362/PVT steps it: 300 epochs, batch 1024.
OFFICIAL = {0: 1e-6, 1: 1e-6, 2: 2.008e-4, 5: 8.002e-4, 6: 9.993e-4, 100: 7.570e-4, 150: 5.102e-4,
            299: 1.0109e-5}  # fmt: skip


@pytest.mark.parametrize("epoch", OFFICIAL)
def test_official_rate(epoch):
    rate = OfficialCosine(1e-3, 300, steps=7)
    assert float(rate(7 * epoch)) == pytest.approx(OFFICIAL[epoch], rel=3e-4)
    assert float(rate(7 * epoch + 6)) == float(rate(7 * epoch))


def test_official_rate_with_fewer_epochs_than_warm_up():
    rate = OfficialCosine(1e-3, 2, steps=3)
    assert float(rate(5)) == pytest.approx(1e-6)


def test_smooth_rate_rises_and_falls():
    rate = training.WarmUpCosine(1.0, 10, 110)
    values = [float(rate(step)) for step in (0, 9, 10, 60, 110, 200)]
    np.testing.assert_allclose(values, [0.1, 1, 1, 0.5, 0, 0], atol=1e-6)
    ends = training.WarmUpCosine(1.0, 10, 110, end=0.2)
    np.testing.assert_allclose([float(ends(60)), float(ends(110))], [0.6, 0.2], atol=1e-6)


def test_steps_after_a_linear_rise():
    """The rise of mmcv: from a thousandth, all there after 500 steps."""
    rate = training.WarmUpSteps(2e-4, [8000, 11000], 500)
    steps = (0, 250, 500, 7999, 8000, 10999, 11000, 99999)
    wanted = (2e-7, 2e-4 * 0.5005, 2e-4, 2e-4, 2e-5, 2e-5, 2e-6, 2e-6)
    np.testing.assert_allclose([float(rate(step)) for step in steps], wanted, rtol=1e-4)
    assert float(training.WarmUpSteps(1.0, [5])(0)) == 1


@pytest.mark.parametrize(
    "rate",
    [
        OfficialCosine(1e-3, 30, steps=7),
        training.WarmUpCosine(1e-3, 5, 90, end=1e-5),
        training.WarmUpSteps(1e-3, [30, 60], 45),
    ],
)
def test_rates_survive_serialisation(rate):
    copy = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(rate))
    assert float(copy(40)) == float(rate(40))
    assert float(copy(40)) != float(rate(80))


def test_a_file_of_0_1_has_the_same_rate():
    """There, the epochs of warm-up had the name of the steps that the other schedules have."""
    config = OfficialCosine(1e-3, 30, steps=7, warm_up_epochs=9).get_config()
    config["warm_up"] = config.pop("warm_up_epochs")
    old, new = OfficialCosine.from_config(config), OfficialCosine(1e-3, 30, 7, 9)
    assert [float(old(step)) for step in (5, 40, 70)] == [float(new(step)) for step in (5, 40, 70)]
