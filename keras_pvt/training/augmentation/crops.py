"""Random crops, shifts and flips."""

import math
from collections.abc import Iterator

import numpy as np

from keras_pvt.training.augmentation.pictures import Size, check_image, resize

TRIES = 10


def draw_sides(
    shape: tuple[int, int],
    area: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> Iterator[tuple[int, int]]:
    """Ten draws of a box's two sides, in pixels; they may be 0 or larger than the image.

    Args:
        shape: height and width of the image in pixels.
        area: smallest and largest part of the image's area; drawn evenly.
        ratio: smallest and largest first side over second; drawn evenly in the logarithm.
        rng: is drawn from when the next box is asked for, not before.
    """
    height, width = shape
    for _ in range(TRIES):
        pixels = rng.uniform(*area) * height * width
        quotient = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        yield round(math.sqrt(pixels * quotient)), round(math.sqrt(pixels / quotient))


def random_resized_crop(
    image: np.ndarray,
    size: Size,
    rng: np.random.Generator,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> np.ndarray:
    """A random crop of an image, resized to a size.

    Args:
        image: RGB `(H, W, 3)`, uint8.
        size: of the result in pixels: a side, or (height, width).
        rng: is drawn from.
        scale: smallest and largest part of the area, 0..1; drawn evenly.
        ratio: smallest and largest width over height; drawn evenly in the logarithm. Where
            none of ten draws fits the image, the largest part from its centre that keeps the
            ratio is taken, whatever its area.
    Returns:
        uint8 `(height, width, 3)`, a new array.
    Raises:
        ValueError: an image of other shape or dtype, or a size below 1.
    Source:
        "Going deeper with convolutions", arXiv 1409.4842, section 6; DeiT's values. Bicubic
        by Pillow, of the part alone: what lies beside it has no influence.
    """
    check_image(image)
    top, left, height, width = _draw_part(image.shape[:2], rng, scale, ratio)
    return resize(image[top : top + height, left : left + width], size)


def _draw_part(shape, rng, scale, ratio):
    """Top, left, height and width in pixels."""
    height, width = shape
    for wide, tall in draw_sides(shape, scale, ratio, rng):
        if 0 < wide <= width and 0 < tall <= height:
            top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
            return int(top), int(left), tall, wide
    # At least 1: of one row, a narrow ratio leaves less than half a pixel.
    tall = max(1, min(height, round(width / ratio[0])))
    wide = max(1, min(width, round(height * ratio[1])))
    return (height - tall) // 2, (width - wide) // 2, tall, wide


def random_shift(image: np.ndarray, pixels: int, rng: np.random.Generator) -> np.ndarray:
    """Move an image by a few pixels each way; the new edge mirrors the image.

    Args:
        image: `(H, W, C)`, any dtype.
        pixels: largest shift, at least 0; all shifts up to it are equally likely.
        rng: is drawn from.
    Returns:
        Array of the shape and dtype of `image`; it may share its memory.
    Raises:
        ValueError: `pixels` is below 0.
    Source:
        "Deep residual learning", arXiv 1512.03385, section 4.2, for CIFAR-10, which has zeros
        there: those would be a colour that no photograph has.
    """
    if pixels < 0:
        raise ValueError(f"`pixels` must be at least 0; got {pixels}.")
    top, left = rng.integers(2 * pixels + 1, size=2)
    height, width = image.shape[:2]
    padded = np.pad(image, ((pixels, pixels), (pixels, pixels), (0, 0)), mode="reflect")
    return padded[top : top + height, left : left + width]


def random_flip(
    image: np.ndarray, rng: np.random.Generator, probability: float = 0.5
) -> np.ndarray:
    """Mirror an image left to right, with a probability.

    Args:
        image: `(H, W, C)`, any dtype.
        rng: is drawn from.
        probability: of mirroring, 0 to 1.
    Returns:
        A view of the image, or the image itself.
    """
    return image[:, ::-1] if rng.random() < probability else image
