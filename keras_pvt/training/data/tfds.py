"""Images of tensorflow-datasets, read at random and without TensorFlow's graphs."""

import contextlib
import functools
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.images import decode_image


class TfdsImages:
    """A split of an image classification set; decoded when they are read.

    Args:
        name: such as "cifar10" or "imagenet2012", or "name/config". Downloaded by
            tensorflow-datasets, unless it is there; it is kept as ArrayRecord.
        split: such as "train", "test" or "train[:90%]".
        data_dir: folder of the sets; by default that of tensorflow-datasets.
    Raises:
        ImportError: tensorflow-datasets or array_record is not installed.
        ValueError: there is no such set or split, it has no images with labels, or it is there in
            a format without random access.
    """

    def __init__(self, name: str, split: str, data_dir: str | os.PathLike | None = None):
        builder = open_builder(name, data_dir)
        _check_features(builder, name)
        self._source = open_source(builder, name, split, ["image"])
        self._count = len(self._source)
        self.classes = tuple(builder.info.features["label"].names)
        self._name, self._split = name, split

    def __len__(self) -> int:
        return self._count

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """Labels of all images, `(N,)`; the first use reads the whole set."""
        return np.array([self.label(number) for number in range(len(self))])

    def label(self, number: int) -> int:
        """The label of an image.

        Args:
            number: index of the image, from 0.
        Returns:
            Index of its class.
        Raises:
            ValueError: it is not that of a class, as in a split without labels.
        """
        label = int(self._source[int(number)]["label"])
        if not 0 <= label < len(self.classes):
            raise ValueError(
                f"{self.name(number)} has the label {label}, where {len(self.classes)} classes "
                "have 0 and up; take a split that has labels."
            )
        return label

    def name(self, number: int) -> str:
        """The name of an image in messages.

        Args:
            number: index of the image, from 0.
        Returns:
            Its place in the set.
        """
        return f"image {number} of {self._name}, {self._split}"

    def read(self, number: int) -> np.ndarray:
        """Read an image.

        Args:
            number: index of the image, from 0.
        Returns:
            uint8 `(H, W, 3)`, RGB 0..255.
        Raises:
            ImageError: it cannot be decoded.
        """
        return decode_image(self._source[int(number)]["image"], self.name(number))


def find_split(name: str, split: str, data_dir: str | os.PathLike | None = None) -> str:
    """The split to validate on where `split` is "val": "validation", or else "test".

    Raises:
        ImportError, ValueError: as of `TfdsImages`; also a set that has neither.
    """
    if split != "val":
        return split
    builder = open_builder(name, data_dir)
    download(builder)  # before it, the splits may not be known
    for found in ("validation", "test"):
        if found in builder.info.splits:
            return found
    raise ValueError(
        f"{name} of tensorflow-datasets has no split validation or test, only "
        f'{", ".join(builder.info.splits)}; give the splits, such as "train[:90%]" and '
        '"train[90%:]".'
    )


def library(name: str) -> Any:
    """tensorflow-datasets, for the set `name`; ImportError says how to install it."""
    with needed_for(f"{name!r} is no folder, and a set of tensorflow-datasets", "tfds"):
        import array_record  # noqa: F401
        import tensorflow_datasets
    return tensorflow_datasets


def open_builder(name: str, data_dir: str | os.PathLike | None = None) -> Any:
    """The builder of a set, to be kept as ArrayRecord; nothing is downloaded.

    Raises:
        ImportError: tensorflow-datasets or array_record is not installed.
        ValueError: there is no such set, or it is there in a format without random access.
    """
    tfds = library(name)
    try:
        builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(f"{name} is neither a folder nor a set of tensorflow-datasets.") from error
    except ValueError as error:
        raise ValueError(
            f"{name} of tensorflow-datasets cannot be opened: {error}. If it is there as tfrecord, "
            "which cannot be read at random, delete it or give another `data_dir`."
        ) from error
    return builder


def download(builder: Any) -> None:
    """Download and write a set, unless it is there; one process of a machine at a time.

    Of several that write it at once, all but one would fail in the end.

    Args:
        builder: of the set.
    """
    import filelock

    if builder.is_prepared():  # in a folder that may be read only
        return
    root = os.fspath(builder.data_dir_root)
    # It prints what it does, where a command may print JSON.
    with contextlib.redirect_stdout(sys.stderr):
        if "://" in root:  # no disk of this machine, such as a bucket
            builder.download_and_prepare()
            return
        os.makedirs(root, exist_ok=True)
        with filelock.FileLock(os.path.join(root, f".keras_pvt-{builder.name}.lock")):
            builder.download_and_prepare()


def open_source(builder: Any, name: str, split: str, images: Sequence[str]) -> Any:
    """The examples of a split, by number; downloaded unless they are there.

    Args:
        builder: of the set.
        name: of the set, for messages.
        split: such as "train".
        images: features that are handed out as the bytes of a file.
    Raises:
        ValueError: there is no such split.
    """
    skip = library(name).decode.SkipDecoding()
    download(builder)
    try:
        source = builder.as_data_source(split, decoders=dict.fromkeys(images, skip))
        len(source)  # which finds a split that is not there
    except ValueError as error:
        raise ValueError(f"{name} of tensorflow-datasets: {error}") from error
    return source


def _check_features(builder: Any, name: str) -> None:
    tfds, features = library(name), builder.info.features
    kinds = {"image": tfds.features.Image, "label": tfds.features.ClassLabel}
    for key, kind in kinds.items():
        if key not in features or not isinstance(features[key], kind):
            raise ValueError(
                f'{name} of tensorflow-datasets is no set to classify images: it needs "image" and '
                f'"label", a class; it has {", ".join(features)}.'
            )
