"""Images with boxes, whatever file they were described in."""

import collections
import dataclasses
import pathlib

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image file and the objects in it.

    Args:
        path: of the image file.
        height: of the image, in pixels.
        width: of the image, in pixels.
        boxes: `(N, 4)` float32, xyxy in pixels of the image, inside it, of an area above 0.
        labels: `(N,)` int32, index of the class.
        areas: `(N,)` float32, of the objects in square pixels; by it COCO tells small from large.
        crowd: `(N,)` bool, True for what is neither trained on nor counted as missed.
    """

    path: pathlib.Path
    height: int
    width: int
    boxes: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray


class Problems:
    """What was wrong with a data set: how often each kind, and where it was seen first."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self._first: dict[str, str] = {}

    def add(self, kind: str, where: str) -> None:
        """Count a problem.

        Args:
            kind: what is wrong and what was done about it, in words.
            where: file and annotation.
        """
        self.counts[kind] += 1
        self._first.setdefault(kind, where)

    def lines(self) -> list[str]:
        """A line for each kind, the most frequent first."""
        return [
            f"{count} x {kind}; the first is {self._first[kind]}"
            for kind, count in self.counts.most_common()
        ]


@dataclasses.dataclass(frozen=True)
class DetectionSet:
    """Samples, the names of their classes, and what was left out.

    Args:
        classes: names, in the order of the labels.
        samples: in the order of the file.
        problems: found while reading.
    """

    classes: list[str]
    samples: list[Sample]
    problems: Problems

    @property
    def max_boxes(self) -> int:
        """Most boxes to be trained on in one image; at least 1."""
        return max([1, *(int((~sample.crowd).sum()) for sample in self.samples)])
