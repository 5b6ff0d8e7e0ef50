"""Class ids from image files."""

import io
import os
import pathlib
from typing import BinaryIO

import numpy as np
from PIL import Image

from keras_pvt.utils.images import HIGH_DEPTH, ImageError

MODES = ("1", "L", "P", *HIGH_DEPTH)  # of Pillow: one whole number a pixel
STRETCH = {"L;2": 85, "L;4": 17}  # by which Pillow multiplies gray of 2 and 4 bits


class NoIdsError(ImageError):
    """An image file that can be read, but has no class ids; the message names it."""


def load_ids(path: str | os.PathLike) -> np.ndarray:
    """Read the class ids that an image file has for pixels.

    Gray of any depth gives the values as they are stored, of 16 bits too; a palette gives its
    indices, whatever its colours.

    Args:
        path: of a file in any lossless format that Pillow reads.
    Returns:
        Integers `(H, W)`.
    Raises:
        OSError: the file cannot be opened.
        NoIdsError: it has colours or floats, or is a JPEG, whose values are not exact.
        ImageError: it is not an image, or is damaged.
    """
    with pathlib.Path(path).open("rb") as file:
        return _ids(file, os.fspath(path))


def decode_ids(content: bytes, name: str) -> np.ndarray:
    """What `load_ids` gives, of the bytes of a file; `name` is for the message."""
    return _ids(io.BytesIO(content), name)


def _ids(file: BinaryIO, name: str) -> np.ndarray:
    try:
        with Image.open(file) as image:
            if image.mode not in MODES:
                raise NoIdsError(
                    f"{name} has pixels of kind {image.mode}, where labels have one class id a "
                    "pixel: gray, of 8 or 16 bits, or a palette. Write it anew, with the id of "
                    "each colour."
                )
            if image.format == "JPEG":
                raise NoIdsError(f"{name} is a JPEG, which changes ids; labels are PNG.")
            stretch = STRETCH.get(_raw_mode(image), 1)
            ids = np.array(image)
    except NoIdsError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds on damaged files
        raise ImageError(f"{name} cannot be read as labels: {error}") from error
    return ids.astype("uint8") // stretch if ids.dtype.itemsize == 1 else ids


def _raw_mode(image: Image.Image) -> str:
    """How the file packs its pixels, where Pillow says so."""
    tiles = getattr(image, "tile", None)
    args = tiles[0].args if tiles else None
    return str(args[0] if isinstance(args, tuple) and args else args)
