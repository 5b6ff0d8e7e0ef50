"""RandAugment and colour jitter: what is drawn, how often, and how strong."""

import collections

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from keras_pvt.training.augmentation import ColorJitter, RandAugment
from keras_pvt.training.augmentation import transforms as color_jitter
from keras_pvt.training.augmentation.operations import OPERATIONS

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

IMAGE = np.random.default_rng(5).integers(60, 200, (7, 9, 3), dtype="uint8")


@pytest.fixture
def log(monkeypatch):
    """Names and strengths of the operations that are carried out, in order."""
    calls = []

    def recording(name):
        return lambda picture, strength, fill: calls.append((name, strength, fill)) or picture

    for name in list(OPERATIONS):
        monkeypatch.setitem(OPERATIONS, name, recording(name))
    return calls


def test_two_of_fifteen_are_drawn_and_half_carried_out(log, rng):
    carried_out, names = collections.Counter(), collections.Counter()
    twice = 0
    for _ in range(6000):
        RandAugment()(IMAGE, rng)
        carried_out[len(log)] += 1
        names.update(name for name, _, _ in log)
        twice += len(log) == 2 and log[0][0] == log[1][0]
        log.clear()
    # Expected 1500, 3000 and 1500, with deviations of 34, 39 and 34; 400 of each name, 20.
    assert sorted(carried_out) == [0, 1, 2]
    assert all(abs(carried_out[n] - 1500) < 140 for n in (0, 2))
    assert len(names) == 15
    assert all(abs(count - 400) < 90 for count in names.values())
    assert 60 < twice < 140  # one in fifteen, as they are put back


def test_strengths_vary_about_nine_tenths_with_either_sign(log, rng):
    augment = RandAugment(count=3000, probability=1.0)
    augment(IMAGE, rng)
    strengths = np.array([strength for _, strength, _ in log])
    assert len(strengths) == 3000
    assert {fill for _, _, fill in log} == {(124, 116, 104)}
    sizes = np.abs(strengths)
    assert abs(sizes.mean() - 0.9) < 0.005
    assert abs(sizes.std() - 0.05) < 0.004
    assert sizes.max() == 1.0  # clipped: one in 44 draws is above 10
    assert 40 < (sizes == 1).sum() < 100
    assert abs((strengths > 0).mean() - 0.5) < 0.04
    log.clear()
    RandAugment(0.1, magnitude_std=2.0, count=50, probability=1.0)(IMAGE, rng)
    assert min(abs(strength) for _, strength, _ in log) == 0


def test_the_same_generator_gives_the_same_and_nothing_else_is_drawn_from():
    before, global_state = IMAGE.copy(), np.random.get_state()[1].copy()
    augment = RandAugment()
    one, two = (
        [augment(IMAGE, rng) for _ in range(40)]
        for rng in (np.random.default_rng(3), np.random.default_rng(3))
    )
    np.testing.assert_array_equal(one, two)
    assert len({result.tobytes() for result in one}) > 20
    np.testing.assert_array_equal(IMAGE, before)
    np.testing.assert_array_equal(np.random.get_state()[1], global_state)
    assert all(result.flags.writeable and result.dtype == np.uint8 for result in one)


def test_texts_are_read():
    assert RandAugment.parse("rand-m9-mstd0.5-inc1") == RandAugment()
    assert RandAugment.parse("rand-inc1") == RandAugment(10, 0, 2)
    assert RandAugment.parse("rand-n3-mstd1-inc1-m7") == RandAugment(7, 1, 3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("augmix-m3-inc1", "start with 'rand'"),
        ("rand-m9-mstd0.5", "have 'inc1'"),
        ("rand-m9-inc0", "'inc0' is not known"),
        ("rand-m9-w0-inc1", "'w0' is not known"),
        ("rand-m9-n1.5-inc1", "'n1.5' is not known"),
        ("rand-m-inc1", "'m' is not known"),
        ("rand-m9-m8-inc1", "'m8' is not known, or is said twice"),
        ("rand--inc1", "'' is not known"),
        ("rand-m11-inc1", "0 to 10; got 11"),
    ],
)
def test_texts_that_cannot_be_read_are_errors(text, message):
    with pytest.raises(ValueError, match=message):
        RandAugment.parse(text)


def test_values_out_of_range_are_errors():
    for name, value in (("probability", 1.1), ("magnitude_std", -1), ("count", -1)):
        with pytest.raises(ValueError, match=f"`{name}`.*got {value}"):
            RandAugment(**{name: value})
    with pytest.raises(ValueError, match=r"got -0\.1"):
        ColorJitter(-0.1)
    with pytest.raises(ValueError, match="got float64"):
        RandAugment()(IMAGE / 255, np.random.default_rng())
    with pytest.raises(ValueError, match="got float64"):
        ColorJitter()(IMAGE / 255, np.random.default_rng())


def test_jitter_is_three_factors_in_random_order(monkeypatch, rng):
    calls = []

    def recording(kind):
        def make(picture):
            enhancer = kind(picture)
            real = enhancer.enhance
            enhancer.enhance = lambda factor: calls.append((kind, factor)) or real(factor)
            return enhancer

        return make

    kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
    assert kinds == color_jitter.ENHANCEMENTS
    monkeypatch.setattr(color_jitter, "ENHANCEMENTS", tuple(recording(kind) for kind in kinds))
    orders, factors = set(), []
    for _ in range(300):
        result = ColorJitter(0.4)(IMAGE, rng)
        picture = Image.fromarray(IMAGE)
        for kind, factor in calls:
            picture = kind(picture).enhance(factor)
        np.testing.assert_array_equal(result, picture)
        orders.add(tuple(kind for kind, _ in calls))
        factors += [factor for _, factor in calls]
        calls.clear()
    assert len(orders) == 6
    assert 0.6 <= min(factors) < 0.61
    assert 1.39 < max(factors) <= 1.4
    assert abs(np.mean(factors) - 1) < 0.03
    for _ in range(50):
        ColorJitter(3.0)(IMAGE, rng)
    assert min(factor for _, factor in calls) >= 0
