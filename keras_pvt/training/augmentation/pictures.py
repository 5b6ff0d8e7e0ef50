"""Between arrays and Pillow's pictures."""

import numpy as np
from PIL import Image

# Pixels: the side of a square, or (height, width).
Size = int | tuple[int, int]


def height_and_width(size: Size) -> tuple[int, int]:
    """(height, width) in pixels.

    Raises:
        ValueError: a side is not at least 1.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ValueError(f"`size` must be at least 1 pixel each way; got {size}.")
    return height, width


def check_image(image: np.ndarray) -> None:
    """That an image is RGB `(H, W, 3)`, uint8.

    Raises:
        ValueError: another shape or dtype, or no pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError(
            f"`image` must be uint8 (height, width, 3), 0..255; got {image.dtype} {image.shape}."
        )


def to_pil(image: np.ndarray) -> Image.Image:
    """A Pillow picture of an array that `check_image` accepts; otherwise its error."""
    check_image(image)
    return Image.fromarray(image)


def resize(image: np.ndarray, size: Size) -> np.ndarray:
    """Bicubic resize by Pillow, which averages when it shrinks.

    Args:
        image: RGB `(H, W, 3)`, uint8.
        size: of the result, in pixels; the proportions are not kept.
    Returns:
        uint8 `(height, width, 3)`, a new array.
    """
    height, width = height_and_width(size)
    return np.array(to_pil(image).resize((width, height), Image.Resampling.BICUBIC))
