"""Representative images from a folder."""

import os
import pathlib

import numpy as np
from PIL import Image, ImageOps

from keras_pvt.models.preprocessing import preprocess_input
from keras_pvt.utils.image_files import image_files
from keras_pvt.utils.images import load_image

# More change the ranges of the activations little.
MOST = 128


def representative_images(
    folder: str | os.PathLike, size: tuple[int, int], pixels: bool
) -> np.ndarray:
    """Images of a folder, scaled and cropped around their centres.

    Args:
        folder: whose images are read, those in its sub-folders too, spread evenly where they are
            more than `MOST`.
        size: (height, width) in pixels.
        pixels: whether the model takes RGB 0..255; else they are normalised.
    Returns:
        float32 array `(N, height, width, 3)`.
    Raises:
        OSError: there is no such folder.
        ValueError: no image in it, or one that cannot be read.
    """
    if not pathlib.Path(folder).is_dir():
        raise NotADirectoryError(f"{os.fspath(folder)} is no folder of representative images.")
    files = image_files([folder], deep=True)
    chosen = np.linspace(0, len(files) - 1, min(MOST, len(files))).round().astype(int)
    height, width = size
    images = np.empty((len(chosen), height, width, 3), "float32")
    for row, number in enumerate(chosen):
        picture = Image.fromarray(load_image(files[number]))
        images[row] = ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC)
    return images if pixels else preprocess_input(images)
