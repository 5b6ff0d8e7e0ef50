"""The fifteen operations of RandAugment, each at a strength of -1 to 1.

A picture is RGB. Strength 1 is what level 10 is in timm; where an operation has no direction,
the sign says nothing. The fill is the colour of what comes in from outside.

Source: "RandAugment", arXiv 1909.13719; ranges and roundings of timm 0.3.2
timm/data/auto_augment.py, whose operations for `inc1` these are.
"""

from collections.abc import Callable

from PIL import Image, ImageEnhance, ImageOps

Color = tuple[int, ...]
Operation = Callable[[Image.Image, float, Color], Image.Image]

MAX_ROTATION = 30.0  # degrees
MAX_SHEAR = 0.3  # columns a row, or rows a column
MAX_TRANSLATION = 0.45  # of the side
MAX_ENHANCEMENT = 0.9  # beside a factor of 1
MAX_ADDITION = 110
POSTERIZED_BITS = 4  # that are kept at strength 0; none is at 1, and the picture is black


def auto_contrast(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    return ImageOps.autocontrast(picture)


def equalize(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    return ImageOps.equalize(picture)


def invert(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    return ImageOps.invert(picture)


def rotate(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    """Counter-clockwise for a positive strength, about the centre."""
    return picture.rotate(MAX_ROTATION * strength, Image.Resampling.BICUBIC, fillcolor=fill)


def posterize(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    # Not by ImageOps, whose form in Pillow 13 refuses 0 bits.
    step = 2 ** (8 - POSTERIZED_BITS + int(abs(strength) * POSTERIZED_BITS))
    return _mapped(picture, lambda value: value - value % step)


def solarize(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    return ImageOps.solarize(picture, 256 - int(abs(strength) * 256))


def solarize_add(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    added = int(abs(strength) * MAX_ADDITION)
    return _mapped(picture, lambda value: value + added if value < 128 else value)


def color(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    return ImageEnhance.Color(picture).enhance(1 + MAX_ENHANCEMENT * strength)


def contrast(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    return ImageEnhance.Contrast(picture).enhance(1 + MAX_ENHANCEMENT * strength)


def brightness(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(1 + MAX_ENHANCEMENT * strength)


def sharpness(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    return ImageEnhance.Sharpness(picture).enhance(1 + MAX_ENHANCEMENT * strength)


def shear_x(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    """The top row stays, lower ones move left for a positive strength."""
    return _sampled(picture, (1, MAX_SHEAR * strength, 0, 0, 1, 0), fill)


def shear_y(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    """The left column stays, those right of it move up for a positive strength."""
    return _sampled(picture, (1, 0, 0, MAX_SHEAR * strength, 1, 0), fill)


def translate_x(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    """To the left for a positive strength."""
    return _sampled(picture, (1, 0, MAX_TRANSLATION * strength * picture.width, 0, 1, 0), fill)


def translate_y(picture: Image.Image, strength: float, fill: Color) -> Image.Image:
    """Up for a positive strength."""
    return _sampled(picture, (1, 0, 0, 0, 1, MAX_TRANSLATION * strength * picture.height), fill)


def _mapped(picture, function):
    """Each value of each channel by a function of it."""
    return picture.point([function(value) for value in range(256)] * 3)


def _sampled(picture, matrix, fill):
    """Where each pixel comes from: x then y, as affine functions of its own."""
    return picture.transform(
        picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=fill
    )


OPERATIONS: dict[str, Operation] = {
    function.__name__: function
    for function in (
        auto_contrast,
        equalize,
        invert,
        rotate,
        posterize,
        solarize,
        solarize_add,
        color,
        contrast,
        brightness,
        sharpness,
        shear_x,
        shear_y,
        translate_x,
        translate_y,
    )
}
