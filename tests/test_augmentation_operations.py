"""Each operation of RandAugment against NumPy, or by where known pixels go."""

import math

import numpy as np
import pytest
from PIL import Image

from keras_pvt.training.augmentation.operations import OPERATIONS

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

HEIGHT, WIDTH = 72, 104
FILL = (124, 116, 104)
STRENGTHS = [-1.0, -0.9, -0.35, 0.0, 0.5, 0.9, 1.0]


def apply(name, image, strength):
    result = OPERATIONS[name](Image.fromarray(image), strength, FILL)
    assert result.mode == "RGB"
    assert result.size == (WIDTH, HEIGHT)
    return np.asarray(result)


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype="uint8")


def gray(image):
    return np.rint(image @ np.array([0.299, 0.587, 0.114]))[..., None]


def smooth(image):
    """Weights 5 for a pixel and 1 for its eight neighbours; the outermost pixels as they are."""
    result = image.astype("float64")
    around = sum(
        result[1 + down : HEIGHT - 1 + down, 1 + right : WIDTH - 1 + right]
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
    )
    inner = (around + 4 * result[1:-1, 1:-1]) / 13
    result[1:-1, 1:-1] = inner
    return result


# What is left of a picture at factor 0.
WITHOUT = {
    "brightness": lambda image: np.zeros_like(image, "float64"),
    "contrast": lambda image: np.full(image.shape, np.rint(gray(image).mean())),
    "color": gray,
    "sharpness": smooth,
}


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("name", WITHOUT)
def test_enhancements_go_away_from_what_is_without(image, name, strength):
    without, factor = WITHOUT[name](image), 1 + 0.9 * strength
    expected = np.clip(without + factor * (image - without), 0, 255)
    assert np.abs(apply(name, image, strength) - expected).max() <= 2


@pytest.mark.parametrize("strength", STRENGTHS)
def test_values_are_mapped(image, strength):
    levels, values = 10 * abs(strength), image.astype(int)
    kept = 4 - math.floor(0.4 * levels + 1e-9)
    step = 256 >> kept
    np.testing.assert_array_equal(apply("posterize", image, strength), values // step * step)
    threshold = 256 - math.floor(25.6 * levels + 1e-9)
    solarized = np.where(image < threshold, image, 255 - image)
    np.testing.assert_array_equal(apply("solarize", image, strength), solarized)
    added = math.floor(11 * levels + 1e-9)
    brighter = np.where(image < 128, np.minimum(255, values + added), image)
    np.testing.assert_array_equal(apply("solarize_add", image, strength), brighter)
    np.testing.assert_array_equal(apply("invert", image, strength), 255 - image)


def test_at_the_strongest_posterize_leaves_black(image):
    assert not apply("posterize", image, 1.0).any()
    assert set(np.unique(apply("posterize", image, 0.9))) == {0, 128}


def test_auto_contrast_stretches_each_channel(rng):
    low, high = np.array([20, 90, 0]), np.array([220, 130, 255])
    image = (low + rng.random((HEIGHT, WIDTH, 3)) * (high - low)).astype("uint8")
    image[0, 0], image[0, 1] = low, high
    expected = (image - low) * 255 / (high - low)
    assert np.abs(apply("auto_contrast", image, 0.9) - expected).max() <= 1
    same = np.full((HEIGHT, WIDTH, 3), 77, "uint8")
    np.testing.assert_array_equal(apply("auto_contrast", same, 0.9), same)


def test_equalize_gives_each_value_its_rank(rng):
    # Values 1, 2, 4, 8 and 16 of unequal frequency.
    image = (2 ** rng.choice(5, (HEIGHT, WIDTH, 3), p=[0.1, 0.4, 0.2, 0.2, 0.1])).astype("uint8")
    result = apply("equalize", image, 0.9)
    for channel in range(3):
        values, counts = np.unique(image[..., channel], return_counts=True)
        below = np.cumsum(counts) - counts
        for value, rank in zip(values, below / (counts.sum() - counts[-1]), strict=True):
            found = np.unique(result[..., channel][image[..., channel] == value])
            assert len(found) == 1
            assert abs(found[0] - 255 * rank) <= 5  # a step is a whole number of pixels, 26 here


def centre_after(name, strength, x, y):
    """Where the middle of a white square at (x, y) lies, in pixels from the upper left."""
    image = np.zeros((HEIGHT, WIDTH, 3), "uint8")
    image[y - 3 : y + 3, x - 3 : x + 3] = 255
    moved = apply(name, image, strength).astype("float64")
    outside = (moved == FILL).all(-1)
    weight = np.where(outside, 0, moved[..., 0])
    weight[weight < 130] = 0  # what bicubic makes of the border to the fill
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()


def expected_centre(name, strength, x, y):
    if name == "rotate":
        angle = math.radians(30 * strength)
        right, up = x - WIDTH / 2, HEIGHT / 2 - y
        return (
            WIDTH / 2 + right * math.cos(angle) - up * math.sin(angle),
            HEIGHT / 2 - right * math.sin(angle) - up * math.cos(angle),
        )
    return {
        "shear_x": (x - 0.3 * strength * y, y),
        "shear_y": (x, y - 0.3 * strength * x),
        "translate_x": (x - 0.45 * strength * WIDTH, y),
        "translate_y": (x, y - 0.45 * strength * HEIGHT),
    }[name]


@pytest.mark.parametrize("strength", [-0.9, -0.35, 0.35, 0.9])
@pytest.mark.parametrize("name", ["rotate", "shear_x", "shear_y", "translate_x", "translate_y"])
def test_pixels_move_and_colour_comes_in(name, strength):
    for x, y in ((52, 36), (54, 38)) if "translate" in name else ((75, 25), (30, 50)):
        found = centre_after(name, strength, x, y)
        np.testing.assert_allclose(found, expected_centre(name, strength, x, y), atol=0.25)
    still = np.zeros((HEIGHT, WIDTH, 3), "uint8")
    corners = apply(name, still, strength)[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == FILL).all(-1).any()
    np.testing.assert_array_equal(apply(name, still, 0.0), still)


def test_geometry_is_bicubic(image):
    # 0.05 * 0.45 of 104 columns: 2.34, so that pixel x has 2.34 to its right.
    moved = apply("translate_x", image, 0.05)
    t = 0.34
    weights = [  # Keys' kernel, a = -1 (in Pillow's resize it is -0.5)
        -t + 2 * t**2 - t**3,
        1 - 2 * t**2 + t**3,
        t + t**2 - t**3,
        -(t**2) + t**3,
    ]
    columns = np.arange(10, 90)
    parts = [w * image[:, columns + 1 + n] for n, w in enumerate(weights)]
    expected = np.clip(sum(parts), 0, 255)  # Pillow cuts the fraction off
    assert np.abs(moved[:, columns] - expected).max() < 1.01
