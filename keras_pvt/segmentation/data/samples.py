"""Images whose every pixel has a class, whatever they were read from."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from keras_pvt.utils.data_report import DataReport

IGNORED = 255  # the label of pixels that are neither trained on nor measured
MOST_CLASSES = IGNORED  # labels are uint8, and one of them is taken


class Pairs(Protocol):
    """Images and the ids of their pixels, read by several threads at once."""

    def __len__(self) -> int: ...

    def name(self, number: int) -> str:
        """What a message calls the image."""

    def image(self, number: int) -> np.ndarray:
        """The image, uint8 `(H, W, 3)`, RGB 0..255.

        Raises:
            OSError: it cannot be opened.
            ImageError: it cannot be decoded.
        """

    def ids(self, number: int) -> np.ndarray:
        """The ids as they are written, integers `(H, W)`.

        Raises:
            OSError: they cannot be opened.
            ImageError: they cannot be decoded, or are no ids.
        """


@dataclasses.dataclass(frozen=True)
class LabelRule:
    """How the ids in files become labels.

    Args:
        ignore: ids, as in the files, of pixels without a class, such as "void".
        reduce_zero: 0 has no class either, and the others move down by one, as in ADE20K.
    """

    ignore: tuple[int, ...] = (IGNORED,)
    reduce_zero: bool = False

    def known(self, ids: np.ndarray) -> np.ndarray:
        """Which ids have a class.

        Args:
            ids: integers of any shape, as in the files.
        Returns:
            bool of the same shape.
        """
        return ~np.isin(ids, [0, *self.ignore] if self.reduce_zero else self.ignore)

    def labels(self, ids: np.ndarray, classes: int) -> np.ndarray:
        """The labels of ids.

        Args:
            ids: integers of any shape, as in the files.
            classes: number of classes.
        Returns:
            uint8 of the same shape: 0 to `classes - 1`, and 255 where an id is ignored or is no
            class.
        Raises:
            ValueError: more than 255 classes, which uint8 has no room for.
        """
        if classes > MOST_CLASSES:
            raise ValueError(f"labels are uint8, of at most {MOST_CLASSES} classes; got {classes}.")
        if ids.dtype == np.uint8 and ids.ndim > 1:  # by a table, as it is faster
            return self.labels(np.arange(256), classes)[ids]
        labels = ids.astype("int64") - self.reduce_zero
        keep = self.known(ids) & (labels >= 0) & (labels < classes)
        return np.where(keep, labels, IGNORED).astype("uint8")


@dataclasses.dataclass(frozen=True)
class SegmentationSet:
    """Images with labels, the names of the classes, and a report of what was left out.

    Args:
        pairs: the source of images and ids.
        numbers: which pairs of the source are used, in order.
        classes: names, in the order of the labels; at most 255.
        rule: how ids become labels.
        report: what was wrong with the data, and was left out.
        ids: those that occur in a pair of the source, sorted, by its number; empty where nobody
            has looked.
    """

    pairs: Pairs
    numbers: Sequence[int]
    classes: tuple[str, ...]
    rule: LabelRule
    report: DataReport
    ids: Mapping[int, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def name(self, number: int) -> str:
        """The name of a sample in messages.

        Args:
            number: index of the sample, from 0.
        Returns:
            The path of the image, or its place in the set.
        """
        return self.pairs.name(self.numbers[number])

    def image(self, number: int) -> np.ndarray:
        """The image of a sample.

        Args:
            number: index of the sample, from 0.
        Returns:
            uint8 `(H, W, 3)`, RGB 0..255.
        Raises:
            OSError: it cannot be opened.
            ImageError: it cannot be decoded.
        """
        return self.pairs.image(self.numbers[number])

    def labels(self, number: int) -> np.ndarray:
        """The labels of a sample.

        Args:
            number: index of the sample, from 0.
        Returns:
            uint8 `(H, W)`: the class of each pixel, 255 where it is ignored.
        Raises:
            OSError: they cannot be opened.
            ImageError: they cannot be decoded.
        """
        return self.rule.labels(self.pairs.ids(self.numbers[number]), len(self.classes))
