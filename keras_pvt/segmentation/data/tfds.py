"""Images and labels of tensorflow-datasets, read at random."""

import os
from typing import Any

import numpy as np

from keras_pvt.segmentation.data.label_files import decode_ids
from keras_pvt.training.data.tfds import library, open_builder, open_source
from keras_pvt.utils.images import decode_image

# What sets call the image; the labels are the other feature that is an image.
IMAGES = ("image", "image_left")


class TfdsPairs:
    """A split of a segmentation set, see `Pairs`; decoded when it is read.

    Args:
        name: such as "scene_parse150", which is ADE20K, or "oxford_iiit_pet". Downloaded by
            tensorflow-datasets, unless it is there; it is kept as ArrayRecord.
        split: such as "train".
        data_dir: folder of the sets; by default that of tensorflow-datasets.
    Raises:
        ImportError: tensorflow-datasets or array_record is not installed.
        ValueError: there is no such set or split, it has not exactly one image and one image of
            labels, or it is there in a format without random access.
    """

    def __init__(self, name: str, split: str, data_dir: str | os.PathLike | None = None):
        builder = open_builder(name, data_dir)
        self._image, self._labels = _keys(builder.info.features, name)
        keys = [self._image, self._labels]
        self._source = open_source(builder, name, split, keys)
        self._name, self._split = name, split
        names = getattr(builder.info.features[self._labels], "names", None)
        self.classes: list[str] | None = names and list(names)  # only some sets have them

    def __len__(self) -> int:
        return len(self._source)

    def name(self, number: int) -> str:
        return f"image {number} of {self._name}, {self._split}"

    def image(self, number: int) -> np.ndarray:
        return decode_image(self._source[int(number)][self._image], self.name(number))

    def ids(self, number: int) -> np.ndarray:
        return decode_ids(self._source[int(number)][self._labels], f"label of {self.name(number)}")


def _keys(features: Any, name: str) -> tuple[str, str]:
    """Names of the features with the image and with its labels."""
    kind = library(name).features.Image
    all_images = [key for key in features if isinstance(features[key], kind)]
    images = [key for key in IMAGES if key in all_images]
    labels = [key for key in all_images if key not in IMAGES]
    if not images or len(labels) != 1:
        raise ValueError(
            f'{name} of tensorflow-datasets is no set to segment images: it needs "image" and one '
            f"other image, of labels; it has {', '.join(features)}."
        )
    return images[0], labels[0]
