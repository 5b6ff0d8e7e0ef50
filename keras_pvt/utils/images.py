"""Reading of image files, and the evaluation crop of the published accuracies."""

import io
import os
import pathlib
import stat
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from keras_pvt.variants import Weights

QUARTER_TURNS = (5, 6, 7, 8)  # values of EXIF's orientation that swap height and width
HIGH_DEPTH = ("I", "I;16", "I;16L", "I;16B", "I;16N")


class ImageError(ValueError):
    """A file cannot be read as an image; the message names it."""


def load_image(path: str | os.PathLike | np.ndarray) -> np.ndarray:
    """Read an image file as RGB.

    The orientation in EXIF is applied. Gray, palette and CMYK images become RGB, and an alpha
    channel is dropped. The upper 8 of 16 bits are kept, and the first frame of an animation.

    Args:
        path: of a file in any format that Pillow reads; or such an array, which is returned.
    Returns:
        uint8 array `(H, W, 3)`, 0..255.
    Raises:
        OSError: the file cannot be opened.
        ImageError: it is not an image, is damaged, or has more than
            `PIL.Image.MAX_IMAGE_PIXELS` pixels.
    """
    return path if isinstance(path, np.ndarray) else np.array(_open(pathlib.Path(path)))


def decode_image(content: bytes, name: str) -> np.ndarray:
    """`load_image` for the bytes of a file.

    Args:
        content: of a file in any format that Pillow reads.
        name: of the file, for messages.
    Raises:
        ImageError: it cannot be read as an image.
    """
    return np.array(_decode(io.BytesIO(content), name))


def image_size(path: str | os.PathLike) -> tuple[int, int]:
    """(height, width) in pixels of an image file, from its header; the orientation is applied.

    Raises:
        OSError: the file cannot be opened.
        ImageError: it is not an image.
    """
    return image_sizes(path)[0]


def image_sizes(path: str | os.PathLike) -> tuple[tuple[int, int], tuple[int, int]]:
    """`image_size`, and the size before the orientation is applied.

    Raises:
        OSError: the file cannot be opened.
        ImageError: it is not an image.
    """
    with _opened(pathlib.Path(path)) as file:
        try:
            with Image.open(file) as image:
                width, height = image.size
                turned = image.getexif().get(ExifTags.Base.Orientation, 1) in QUARTER_TURNS
        except Exception as error:  # Pillow's readers raise many kinds on damaged files
            raise ImageError(f"{path} cannot be read as an image: {error}") from error
    stored = height, width
    return stored[::-1] if turned else stored, stored


def eval_transform(
    image, size: int = Weights.image_size, resize_size: int | None = None
) -> np.ndarray:
    """The official evaluation crop: short side resized, centre cut out.

    Args:
        image: path of a file, a PIL image, or a uint8 array `(H, W, 3)` or `(H, W)`, 0..255.
        size: side of the crop in pixels.
        resize_size: pixels of the short side before the crop; by default 256 / 224 of `size`.
    Returns:
        uint8 array `(size, size, 3)`, RGB 0..255, for `preprocess_input` or a model with
        `include_preprocessing=True`.
    Raises:
        ImageError: the file is not an image, is damaged, or too large; or an image is so long
            that it cannot be resized.
        OSError: the file cannot be opened.
        ValueError: an array of other shape or dtype; a crop larger than the resized image.
    Source:
        whai362/PVT classification/datasets.py: torchvision's Resize (bicubic, by Pillow, which
        averages when it shrinks) and CenterCrop. Differs: applies the orientation in EXIF.
    """
    resize_size = default_resize_size(size) if resize_size is None else resize_size
    if not 0 < size <= resize_size:
        raise ValueError(f"`size` must be 1 to `resize_size` {resize_size}; got {size}.")
    picture = _picture(image)
    short = min(picture.size)
    width, height = (int(resize_size * side / short) for side in picture.size)
    if _too_many(width, height):
        raise ImageError(f"an image of {picture.size} pixels is too long to be resized.")
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    # Halves go to the even number, as in torchvision.
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.array(picture.crop((left, top, left + size, top + size)))


def default_resize_size(size: int) -> int:
    """Short side, in pixels, before a crop of `size`, by the official rule."""
    return int(Weights.resize_size / Weights.image_size * size)


def _picture(image) -> Image.Image:
    """An RGB picture from what `eval_transform` takes."""
    if isinstance(image, str | os.PathLike):
        return _open(pathlib.Path(image))
    if isinstance(image, Image.Image):
        return _rgb(ImageOps.exif_transpose(image))
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.shape[2:] not in ((), (3,)) or array.ndim not in (2, 3):
        raise ValueError(
            "an image array must be uint8 (height, width, 3) or (height, width), 0..255; got "
            f"{array.dtype} {array.shape}."
        )
    if 0 in array.shape:
        raise ValueError(f"an image array must have pixels; got shape {array.shape}.")
    return Image.fromarray(array).convert("RGB")


def _open(path: pathlib.Path) -> Image.Image:
    with _opened(path) as file:
        return _decode(file, os.fspath(path))


def _opened(path: pathlib.Path) -> BinaryIO:
    """Open a file; a pipe would be waited for, and a device may have no end."""
    try:
        kind = path.stat().st_mode
    except ValueError as error:  # a zero byte, which no name of a file has
        raise OSError(f"it is no name of a file: {error}") from None
    if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):  # of a folder the system says it
        raise OSError("it is a pipe or a device, and no file")
    return path.open("rb")


def _decode(file: BinaryIO, name: str) -> Image.Image:
    try:
        with Image.open(file) as image:
            check_pixels(*image.size)
            ImageOps.exif_transpose(image, in_place=True)
            return _rgb(image)
    except UnidentifiedImageError:  # which tells where in memory the file is
        raise ImageError(f"{name} cannot be read as an image: Pillow does not know it") from None
    except Exception as error:  # Pillow's readers raise many kinds on damaged files
        raise ImageError(f"{name} cannot be read as an image: {error}") from error


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in HIGH_DEPTH:  # Pillow would clip these at 255
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(f"its values, {values.min()} to {values.max()}, exceed 16 bits")
        image = Image.fromarray((values >> 8).astype("uint8"))
    elif image.mode == "F":
        raise ImageError("its values are floats, whose range is not known")
    if "transparency" in image.info:  # a palette with alpha; straight to RGB, Pillow warns
        image = image.convert("RGBA")
    return image.convert("RGB")


def check_pixels(width: int, height: int) -> None:
    """Bound what is decoded.

    Raises:
        ImageError: there are more pixels than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    if _too_many(width, height):
        raise ImageError(f"it has {width} x {height} pixels, more than PIL.Image.MAX_IMAGE_PIXELS")


def _too_many(width: int, height: int) -> bool:
    limit = Image.MAX_IMAGE_PIXELS  # None where the user has switched it off
    return limit is not None and width * height > limit
