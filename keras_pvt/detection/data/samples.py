"""Images with boxes, whatever file they were described in."""

import dataclasses
import pathlib

import numpy as np

from keras_pvt.detection.data.segmentations import Segmentation
from keras_pvt.utils.data_report import DataReport


@dataclasses.dataclass(frozen=True)
class Sample:
    """An image file and the objects in it.

    Args:
        path: of the image file.
        height: of the image, in pixels.
        width: of the image, in pixels.
        boxes: `(N, 4)` float32, xyxy in pixels of the image, inside it, of an area above 0.
        labels: `(N,)` int32, index of the class.
        areas: `(N,)` float32, of the objects in square pixels; COCO's small, medium and large.
        crowd: `(N,)` bool, True for objects that are neither trained on nor counted as missed.
        segmentations: N outlines, or none where only boxes were read.
    """

    path: pathlib.Path
    height: int
    width: int
    boxes: np.ndarray
    labels: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray
    segmentations: tuple[Segmentation, ...] = ()


@dataclasses.dataclass(frozen=True)
class DetectionSet:
    """Images with boxes, the names of the classes, and a report of what was left out.

    Args:
        classes: names, in the order of the labels.
        samples: in the order of the file.
        report: what was wrong with the data, and was left out.
    """

    classes: list[str]
    samples: list[Sample]
    report: DataReport

    @property
    def max_boxes(self) -> int:
        """The most boxes that an image has for training; at least 1."""
        return max([1, *(int((~sample.crowd).sum()) for sample in self.samples)])
