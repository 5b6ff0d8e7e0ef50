"""Colours of classes: told apart, and what the classes' names say."""

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageCms

from keras_pvt.utils.colours import colours, ink, is_background

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

# Degrees on the circle of hues.
HUES = {"red": 0, "orange": 39, "yellow": 60, "green": 120, "cyan": 180, "blue": 240, "purple": 300}


def lab(colours):
    """CIELAB by LittleCMS, in its 8 bits."""
    profiles = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    picture = Image.fromarray(colours[None])
    found = ImageCms.profileToProfile(picture, *profiles, outputMode="LAB")
    light, *ab = np.moveaxis(np.asarray(found)[0].astype("int8").astype(int), -1, 0)
    return np.stack([(light % 256) / 2.55, *ab], axis=-1)


@pytest.mark.parametrize(("count", "apart"), [(11, 40), (21, 30), (150, 10)])
def test_colours_are_told_apart(count, apart):
    """2.3 is what an eye just notices."""
    places = lab(colours([str(number) for number in range(count)]))
    distances = np.linalg.norm(places[:, None] - places, axis=-1)
    assert distances[~np.eye(count, dtype=bool)].min() > apart
    assert (np.linalg.norm(places[:, 1:], axis=1) > 5).all(), "a gray one"


@pytest.mark.parametrize(
    "classes",
    [
        ("background", "red", "green", "blue"),
        ("green", "red"),
        ("circle", "square", "triangle", "Blue ball", "red car", "red bus", "green apple", "star"),
        ("traffic light (red)", "traffic light (yellow)", "orange", "cyan", "purple_flower"),
    ],
)
def test_what_is_named_after_a_colour_has_it(classes):
    found = colours(classes)
    assert len({tuple(colour) for colour in found.tolist()}) == len(classes)
    named = 0
    for name, colour in zip(classes, found / 255, strict=True):
        for word, degrees in HUES.items():
            if word in name.lower():
                hue, saturation, value = colorsys.rgb_to_hsv(*colour)
                away = abs((hue * 360 - degrees + 180) % 360 - 180)
                assert (away < 16, saturation > 0.5, value > 0.4) == (True,) * 3, (name, colour)
                named += 1
    assert named >= 2


def test_black_white_and_gray_are_colours_too():
    black, gray, white, rest = lab(colours(["black dog", "grey wolf", "white", "panda"]))
    assert black[0] < 2
    assert 40 < gray[0] < 65
    assert white[0] > 98
    assert np.linalg.norm(rest[1:]) > 5 > np.linalg.norm(gray[1:])


def test_names_that_only_contain_a_colour_do_not_say_it():
    plain = colours([str(number) for number in range(3)])
    np.testing.assert_array_equal(colours(["bored", "greenhouse", "covered"]), plain)


def test_the_background_takes_no_colour_from_others():
    np.testing.assert_array_equal(
        colours(["background", "cat", "dog"])[1:], colours(["cat", "dog"])
    )
    assert all(map(is_background, ("background", "Background", "__background__", "bg", "void")))
    assert not any(map(is_background, ("back", "0", "background clutter")))


def test_many_classes():
    found = colours([f"class {number}" for number in range(1203)])
    assert len({tuple(colour) for colour in found.tolist()}) == 1203


def test_text_is_read_on_each_colour():
    """At least a contrast of 3, as WCAG 2 asks of large text."""
    for colour in colours([str(number) for number in range(255)]):
        light = [_luminance(c) for c in (colour, np.array([255 * (ink(colour) == "white")] * 3))]
        assert (max(light) + 0.05) / (min(light) + 0.05) >= 3, colour


def _luminance(colour):
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in colour / 255]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])
