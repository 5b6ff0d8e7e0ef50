"""400 photographs of CIFAR-10 that the bundled weights never saw, with their labels."""

import io
import pathlib
import zipfile

import numpy as np
from PIL import Image

from keras_pvt.classification.decoding import class_table

FILE = pathlib.Path(__file__).parent / "data" / "cifar10_val.zip"


def photographs() -> tuple[np.ndarray, np.ndarray]:
    """uint8 `(400, 32, 32, 3)`, and class numbers `(400,)`, class by class."""
    names = [name for _, name in class_table("cifar10")]
    images, labels = [], []
    with zipfile.ZipFile(FILE) as archive:
        for member in archive.namelist():
            images.append(np.asarray(Image.open(io.BytesIO(archive.read(member)))))
            labels.append(names.index(member.split("/")[0]))
    return np.stack(images), np.array(labels)
