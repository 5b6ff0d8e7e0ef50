"""Erasing: noise in boxes of random place and shape."""

import numpy as np
import pytest
from masks import box_of

from keras_pvt.training.augmentation import RandomErasing

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

HEIGHT, WIDTH = 72, 104


def test_erased_boxes_are_noise_of_the_sizes_asked_for(rng):
    image = np.full((HEIGHT, WIDTH, 3), 50, "float32")
    boxes, values = [], []
    for _ in range(600):
        result = RandomErasing(1.0)(image, rng)
        assert result.dtype == np.float32
        mask = (result != 50).all(-1)
        boxes.append(box_of(mask))
        values.append(result[mask].ravel())
    assert (image == 50).all()
    noise = np.concatenate(values)
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    top, left, height, width = np.array(boxes).T
    area, log_ratio = height * width / (HEIGHT * WIDTH), np.log(height / width)
    assert 0.015 < area.min() < 0.03
    assert 0.31 < area.max() < 0.35
    assert abs(area.mean() - (0.02 + 1 / 3) / 2) < 0.02
    assert -1.35 < log_ratio.min() < -1.0
    assert 0.7 < log_ratio.max() < 1.35
    small = area < 0.1  # of which all shapes fit
    assert abs(log_ratio[small].mean()) < 0.15
    assert abs(log_ratio[small].std() - 2 * np.log(1 / 0.3) / np.sqrt(12)) < 0.1
    assert top.min() == 0
    assert (top + height).max() == HEIGHT
    assert (left + width).max() == WIDTH


def test_erasing_leaves_the_others_alone(rng):
    image = rng.standard_normal((HEIGHT, WIDTH, 3), "float32")
    results = [RandomErasing()(image, rng) for _ in range(1000)]
    untouched = [result for result in results if result is image]
    assert 690 < len(untouched) < 810
    assert all(np.array_equal(r, image) == (r is image) for r in results)
    assert all(RandomErasing(0.0)(image, rng) is image for _ in range(20))
    tiny = image[:1, :1]
    boxless = (RandomErasing(1.0)(tiny, rng) for _ in range(20))  # its sides round to 0
    assert all((result == tiny).all() for result in boxless)


def test_erasing_refuses_what_it_cannot_take(rng):
    with pytest.raises(ValueError, match="uint8"):
        RandomErasing()(np.zeros((4, 4, 3), "uint8"), rng)
    for options in ({"probability": 2}, {"area": (0.5, 0.1)}, {"ratio": (0, 1)}):
        with pytest.raises(ValueError, match=f"`{next(iter(options))}`"):
            RandomErasing(**options)


def test_a_box_is_smaller_than_the_image(rng):
    """One that would be all of it is not drawn."""
    image = rng.standard_normal((6, 6, 3)).astype("float32")
    erasing = RandomErasing(probability=1, area=(1, 1), ratio=(1, 1))
    np.testing.assert_array_equal(erasing(image, rng), image)
