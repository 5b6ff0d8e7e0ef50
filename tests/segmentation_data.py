"""Small images with labels, drawn for the tests."""

import io
import pathlib
from collections.abc import Mapping

import numpy as np
from PIL import Image


def write_pairs(images: pathlib.Path, labels: pathlib.Path, content: Mapping) -> None:
    """Files STEM.png: labels `(H, W)` as they are given, and images whose red is the label."""
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    for stem, ids in content.items():
        ids = np.asarray(ids)
        Image.fromarray(ids if ids.dtype == np.uint16 else ids.astype("uint8")).save(
            labels / f"{stem}.png"
        )
        image = np.zeros((*ids.shape, 3), "uint8")
        image[..., 0] = ids.astype("uint8")
        image[..., 1] = np.arange(ids.shape[1])
        Image.fromarray(image).save(images / f"{stem}.png")


def split(folder: pathlib.Path, name: str = "train") -> tuple[pathlib.Path, pathlib.Path]:
    """Folders of the images and labels, laid out as CamVid is."""
    return folder / name, folder / f"{name}_labels"


class Squares:
    """Stands in for a `SegmentationSet`: image n is gray n, its labels n modulo 3."""

    classes = ("a", "b", "c")

    def __init__(self, count: int, bad=(), shape=(8, 12)):
        self.count, self.bad, self.shape = count, set(bad), shape

    def __len__(self):
        return self.count

    def name(self, number):
        return f"square {number}"

    def image(self, number):
        if number in self.bad:
            raise OSError(f"{self.name(number)} is gone")
        return np.full((*self.shape, 3), number, "uint8")

    def labels(self, number):
        return np.full(self.shape, number % 3, "uint8")


def saved(ids, mode, kind="png", **options):
    """The bytes of a file of ids."""
    image = Image.fromarray(np.asarray(ids))
    if image.mode != mode:
        image = image.convert(mode)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()
