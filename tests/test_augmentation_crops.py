"""Crops, shifts and flips of training images."""

import numpy as np
import pytest
from PIL import Image

from keras_pvt.training import augmentation
from keras_pvt.training.augmentation import random_flip, random_resized_crop, random_shift

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

SHAPE = (72, 104)


def coordinates(height, width):
    """An image whose red says the row and whose green says the column."""
    image = np.zeros((height, width, 3), "uint8")
    image[..., 0] = np.arange(height)[:, None]
    image[..., 1] = np.arange(width)
    return image


def part(image, rng, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), size=64):
    """Top, left, height and width of a crop, read from its colours."""
    crop = random_resized_crop(image, size, rng, scale, ratio).astype("float64")
    rows, columns = crop[..., 0].mean(1), crop[..., 1].mean(0)
    middle = slice(size // 4, 3 * size // 4)  # bicubic bends at the edges
    found = []
    for values in (rows, columns):
        step, start = np.polyfit(np.arange(size)[middle] + 0.5, values[middle] + 0.5, 1)
        found.append((start, step * size))
    (top, height), (left, width) = found
    return top, left, height, width


def test_crops_have_the_areas_ratios_and_places_of_the_paper(rng):
    image = coordinates(250, 250)
    parts = np.array([part(image, rng) for _ in range(400)])
    top, left, height, width = parts.T
    area, log_ratio = height * width / 250**2, np.log(width / height)
    assert 0.07 < area.min() < 0.12
    assert area.max() > 0.9
    below = area < 0.7  # of which all shapes fit
    assert abs((area[below] < 0.28).mean() - 0.2 / 0.62) < 0.08  # evenly in area
    inner = log_ratio[below]
    assert np.abs(inner).max() < np.log(4 / 3) + 0.06
    assert abs(inner.mean()) < 0.04
    assert abs((np.abs(inner) < np.log(4 / 3) / 2).mean() - 0.5) < 0.1
    for start, side in ((top, height), (left, width)):
        room = 250 - side
        free = room > 60
        place = start[free] / room[free]
        assert -0.05 < place.min() < 0.1
        assert 0.9 < place.max() < 1.05
        assert abs(place.mean() - 0.5) < 0.07


def test_the_ratio_is_width_over_height(rng):
    image = coordinates(160, 240)
    for _ in range(30):
        _, _, height, width = part(image, rng, scale=(0.2, 0.4), ratio=(1.5, 1.8))
        assert 1.45 < width / height < 1.85


@pytest.mark.parametrize(
    ("shape", "ratio", "expected"),
    [
        ((40, 240), (3 / 4, 4 / 3), (0, 93, 40, 53)),  # 40 * 4 / 3 wide
        ((240, 40), (3 / 4, 4 / 3), (93, 0, 53, 40)),
        ((240, 40), (1, 4 / 3), (100, 0, 40, 40)),
        ((200, 210), (3 / 4, 4 / 3), (0, 0, 200, 210)),  # fits as it is
    ],
)
def test_where_no_draw_fits_the_centre_is_taken(rng, shape, ratio, expected):
    image = coordinates(*shape)
    found = part(image, rng, scale=(1.1, 1.2), ratio=ratio)
    np.testing.assert_allclose(found, expected, atol=1.2)


def test_the_part_alone_is_resized_bicubic(rng):
    image = rng.integers(0, 256, (*SHAPE, 3), dtype="uint8")
    crop = random_resized_crop(image, (33, 51), rng, scale=(1.1, 1.2))  # the centre, 72 x 96
    assert crop.shape == (33, 51, 3)
    assert crop.dtype == np.uint8
    inner = Image.fromarray(np.ascontiguousarray(image[:, 4:100]))
    np.testing.assert_array_equal(crop, inner.resize((51, 33), Image.Resampling.BICUBIC))
    assert random_resized_crop(image[:1, :1], 5, rng).shape == (5, 5, 3)
    with pytest.raises(ValueError, match="got 0"):
        random_resized_crop(image, 0, rng)
    with pytest.raises(ValueError, match=r"float32 \(72, 104, 3\)"):
        random_resized_crop(image.astype("float32"), 8, rng)
    with pytest.raises(ValueError, match=r"uint8 \(72, 104, 1\)"):
        random_resized_crop(image[..., :1], 8, rng)


def test_shifts_reach_each_place_and_mirror_what_comes_in(rng):
    image = coordinates(*SHAPE)
    places = set()
    for _ in range(600):
        moved = random_shift(image, 3, rng)
        assert moved.shape == image.shape
        row, column = (int(value) for value in moved[36, 52, :2])
        down, right = 36 - row, 52 - column
        places.add((down, right))
        # A mirror at the middle of the outermost pixel, which is seen once.
        rows = [abs(n - down) if n - down < 72 else 142 - (n - down) for n in range(72)]
        np.testing.assert_array_equal(moved[:, 52, 0], rows)
        columns = [abs(n - right) if n - right < 104 else 206 - (n - right) for n in range(104)]
        np.testing.assert_array_equal(moved[36, :, 1], columns)
    assert places == {(down, right) for down in range(-3, 4) for right in range(-3, 4)}
    np.testing.assert_array_equal(random_shift(image, 0, rng), image)
    with pytest.raises(ValueError, match="got -1"):
        random_shift(image, -1, rng)


def test_flips_mirror_left_to_right_as_often_as_asked(rng):
    image = coordinates(*SHAPE)
    flips = 0
    for _ in range(500):
        result = random_flip(image, rng, 0.3)
        flipped = result[0, 0, 1] == 103
        np.testing.assert_array_equal(result, image[:, ::-1] if flipped else image)
        flips += flipped
    assert 110 < flips < 190
    assert not any(random_flip(image, rng, 0)[0, 0, 1] for _ in range(20))
    assert all(random_flip(image, rng, 1)[0, 0, 1] == 103 for _ in range(20))
    halves = [random_flip(image, rng)[0, 0, 1] == 103 for _ in range(400)]
    assert 150 < sum(halves) < 250


def test_what_is_offered_is_there():
    assert all(hasattr(augmentation, name) for name in augmentation.__all__)
