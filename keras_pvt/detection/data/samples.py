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
        areas: `(N,)` float32, of the objects in square pixels; by it COCO tells small from large.
        crowd: `(N,)` bool, True for what is neither trained on nor counted as missed.
        segmentations: N outlines, or none where only boxes are wanted.
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
    """Samples, the names of their classes, and what was left out.

    Args:
        classes: names, in the order of the labels.
        samples: in the order of the file.
        report: found while reading.
    """

    classes: list[str]
    samples: list[Sample]
    report: DataReport

    @property
    def max_boxes(self) -> int:
        """Most boxes to be trained on in one image; at least 1."""
        return max([1, *(int((~sample.crowd).sum()) for sample in self.samples)])
