"""MixUp, CutMix and smoothed labels."""

import numpy as np
import pytest
from masks import box_of

from keras_pvt.training.augmentation import MixUpCutMix, smooth_labels

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

HEIGHT, WIDTH = 72, 104


def test_smoothed_labels_by_hand():
    smooth = smooth_labels([2, 0], 4)
    assert smooth.dtype == np.float32
    expected = [[0.025, 0.025, 0.925, 0.025], [0.925, 0.025, 0.025, 0.025]]
    np.testing.assert_allclose(smooth, expected, rtol=1e-6)
    np.testing.assert_array_equal(smooth_labels(np.array([1], "uint8"), 3, 0), [[0, 1, 0]])
    np.testing.assert_allclose(smooth_labels([1], 2, 1.0), [[0.5, 0.5]])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 4, 9], "label 4, at 2, is not one of 0 to 3"),
        ([-1], "label -1, at 0"),
        ([[0]], r"int64 \(1, 1\)"),
        ([0.0], "float64"),
    ],
)
def test_labels_that_are_none_are_errors(labels, message):
    with pytest.raises(ValueError, match=message):
        smooth_labels(labels, 4)
    with pytest.raises(ValueError, match=r"got 1\.5"):
        smooth_labels([0], 4, 1.5)


def batch(count):
    """Image n is n everywhere, its label is n."""
    images = np.ones((count, HEIGHT, WIDTH, 3), "float32") * np.arange(count)[:, None, None, None]
    return images.astype("float32"), np.eye(count, dtype="float32")


@pytest.mark.parametrize("count", [6, 5])
def test_mixup_blends_opposite_images_with_one_weight(rng, count):
    images, labels = batch(count)
    kept = []
    for _ in range(500):
        mixed, targets = MixUpCutMix(cutmix=0)(images, labels, rng)
        assert mixed.dtype == targets.dtype == np.float32
        weight = targets[0, 0]
        kept.append(weight)
        numbers = np.arange(count)
        expected = weight * numbers + (1 - weight) * numbers[::-1]
        np.testing.assert_allclose(mixed.mean((1, 2, 3)), expected, atol=1e-5)
        assert (np.ptp(mixed, (1, 2, 3)) == 0).all()
        np.testing.assert_allclose(targets @ numbers, expected, atol=1e-5)
    # Beta(0.8, 0.8) has mean 1/2 and variance 1 / (4 * 2.6).
    assert abs(np.mean(kept) - 0.5) < 0.05
    assert abs(np.var(kept) - 1 / 10.4) < 0.015
    np.testing.assert_array_equal(images, batch(count)[0])


def test_cutmix_pastes_a_box_whose_real_area_is_the_weight(rng):
    images, labels = batch(4)
    areas, heights, edges = [], [], []
    for _ in range(500):
        mixed, targets = MixUpCutMix(mixup=0)(images, labels, rng)
        mask = mixed[0, ..., 0] == 3
        assert (mixed == np.where(mask[..., None], images[::-1], images)).all()
        np.testing.assert_allclose(targets[0], [1 - mask.mean(), 0, 0, mask.mean()], atol=1e-6)
        np.testing.assert_allclose(targets[1], [0, 1 - mask.mean(), mask.mean(), 0], atol=1e-6)
        areas.append(mask.mean())
        if mask.any():
            top, left, height, width = box_of(mask)
            heights.append(height)
            edges.append((top == 0, left == 0, top + height == HEIGHT, left + width == WIDTH))
            if not any(edges[-1]):  # whole boxes have the shape of the image
                assert abs(height / HEIGHT - width / WIDTH) < 2.5 / HEIGHT
    # A side of s, as a part of the image's, keeps s - s^2 / 4 in the mean over centres. The
    # square of that, where s^2 is drawn evenly, has the mean 1/2 - 1/5 + 1/48; whole pixels of
    # even number take about 0.01.
    assert abs(np.mean(areas) - 0.31) < 0.04
    assert max(heights) > 0.85 * HEIGHT
    assert (np.mean(edges, 0) > 0.2).all()
    np.testing.assert_array_equal(images, batch(4)[0])


def test_each_has_its_own_parameter(rng):
    images, labels = batch(2)
    mixer = MixUpCutMix(mixup=0.2, cutmix=60.0)
    blended, heights = [], []
    for _ in range(600):
        mixed, targets = mixer(images, labels, rng)
        if np.isin(mixed, [0, 1]).all():
            heights.append(mixed[0].any((1, 2)).sum())
        else:
            blended.append(targets[0, 0])
    assert abs(np.var(blended) - 1 / 5.6) < 0.02  # Beta(0.2, 0.2)
    # About half of the image: the root of that each way, where it is not cut off.
    assert 0.66 < np.median([n for n in heights if n > 0.6 * HEIGHT]) / HEIGHT < 0.74
    assert max(heights) < 0.82 * HEIGHT
    assert MixUpCutMix() == MixUpCutMix(0.8, 1.0, 0.5, 1.0)


def test_either_is_chosen_as_often_as_asked(rng):
    images, labels = batch(2)
    counts = {"mixup": 0, "cutmix": 0, "none": 0}
    for _ in range(400):
        mixed, targets = MixUpCutMix(switch_probability=0.25, probability=0.6)(images, labels, rng)
        if mixed is images:
            assert targets is labels
            counts["none"] += 1
        else:
            counts["cutmix" if np.isin(mixed, [0, 1]).all() else "mixup"] += 1
    assert abs(counts["none"] - 160) < 50
    assert abs(counts["cutmix"] - 60) < 35
    off = MixUpCutMix(0, 0)
    assert all(off(images, labels, rng)[0] is images for _ in range(20))


def test_mixing_refuses_what_it_cannot_take(rng):
    images, labels = batch(3)
    for wrong in (images.astype("uint8"), images[0], labels):
        with pytest.raises(ValueError, match="`images` must be float"):
            MixUpCutMix()(wrong, labels, rng)
    for wrong in (labels[:2], np.arange(3), labels.astype(int)):
        with pytest.raises(ValueError, match=r"`labels` must be float \(3, classes\)"):
            MixUpCutMix()(images, wrong, rng)
    for options in (
        {"mixup": -1},
        {"cutmix": -0.1},
        {"probability": 2},
        {"switch_probability": -1},
    ):
        with pytest.raises(ValueError, match=f"`{next(iter(options))}`"):
            MixUpCutMix(**options)
