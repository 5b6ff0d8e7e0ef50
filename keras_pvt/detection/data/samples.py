"""Images with boxes, whatever file they were described in."""

import dataclasses
import itertools
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

    @property
    def below_a_pixel(self) -> np.ndarray:
        """Which objects are less than a pixel wide or high, `(N,)` bool; no crowd is."""
        return (self.boxes[:, 2:] - self.boxes[:, :2] < 1).any(axis=1) & ~self.crowd

    def take(self, chosen: np.ndarray) -> "Sample":
        """The image with some of its objects.

        Args:
            chosen: `(N,)` bool.
        Returns:
            A sample of its own, or itself where all are chosen.
        """
        if chosen.all():
            return self
        return dataclasses.replace(
            self,
            boxes=self.boxes[chosen],
            labels=self.labels[chosen],
            areas=self.areas[chosen],
            crowd=self.crowd[chosen],
            segmentations=tuple(itertools.compress(self.segmentations, chosen)),
        )


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

    def without_boxes(self) -> list[str]:
        """The classes that no box is of, crowds aside.

        Returns:
            Their names, in order.
        """
        used = {int(label) for one in self.samples for label in one.labels[~one.crowd]}
        return [name for label, name in enumerate(self.classes) if label not in used]

    def for_training(self, background: bool, smallest_side: int) -> "DetectionSet":
        """The images that can be trained on.

        Args:
            background: whether images without boxes are taken too.
            smallest_side: of an image, in pixels.
        Returns:
            A part of this set, with the same report, to which are added what was left out, and the
            classes that no box is left of.
        Raises:
            ValueError: no box is left; says why.
        """
        report = self.report
        samples = []
        too_small = "box less than a pixel wide or high: not trained on"
        if all((one.boxes <= 1).all() for one in self.samples):
            too_small += "; all lie within 0 and 1, where COCO's are in pixels"
        for sample in self.samples:
            small = sample.below_a_pixel
            for _ in range(int(small.sum())):
                report.add(too_small, str(sample.path))
            sample = sample.take(~small)
            why = None
            if min(sample.height, sample.width) < smallest_side:
                why = f"image with a side below {smallest_side} pixels: not trained on"
            elif not background and not len(sample.boxes):
                why = "image without boxes: not trained on (--background does)"
            elif not background and sample.crowd.all():
                why = "image whose boxes are all crowds: not trained on (--background does)"
            if why is None:
                samples.append(sample)
            else:
                report.add(why, str(sample.path))
        kept = dataclasses.replace(self, samples=samples)
        missing = kept.without_boxes()
        if len(missing) == len(self.classes):
            raise ValueError("; ".join(["there is no box to train on", *report.lines()]))
        report.add_names("class without a box to train on", missing)
        return kept
