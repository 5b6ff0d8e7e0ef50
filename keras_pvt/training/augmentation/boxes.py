"""Boxes of random size."""

import math
from collections.abc import Iterator

import numpy as np

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
