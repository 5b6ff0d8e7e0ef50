"""Intersection over union of a segmenter, and which classes it takes for which."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from keras_pvt.evaluation.report import Report, Worst, plain, unknown_classes
from keras_pvt.segmentation.data.samples import IGNORED, SegmentationSet
from keras_pvt.segmentation.drawing import overlay
from keras_pvt.segmentation.evaluation import evaluate
from keras_pvt.segmentation.metrics import Confusion
from keras_pvt.utils.drawing import captioned

WORST = 100  # images that a report names


@dataclasses.dataclass(frozen=True)
class _Renumbered(SegmentationSet):
    """A set whose labels become those of a model.

    Args:
        table: `(256,)` uint8, the model's label for each of its own; 255 stays.
    """

    table: np.ndarray = dataclasses.field(default_factory=lambda: np.arange(256, dtype="uint8"))

    def labels(self, number: int) -> np.ndarray:
        return self.table[super().labels(number)]


def labels_of(found: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The label that a model has for each class of a set.

    Args:
        found: classes of the set.
        classes: of the model, in another order, or more.
    Raises:
        ValueError: classes that the model does not have.
    """
    places = {plain(name): label for label, name in enumerate(classes)}
    unknown = [name for name in found if plain(name) not in places]
    if unknown:
        raise unknown_classes(unknown, classes)
    return [places[plain(name)] for name in found]


def renumbered(
    data: SegmentationSet, labels: Sequence[int], classes: Sequence[str]
) -> SegmentationSet:
    """A set with the labels of a model.

    Args:
        data: opened with names of its own.
        labels: of the model, for each class of the set.
        classes: of the model.
    """
    table = np.full(256, IGNORED, "uint8")
    table[: len(labels)] = labels
    fields = {field.name: getattr(data, field.name) for field in dataclasses.fields(data)}
    return _Renumbered(**fields | {"classes": tuple(classes)}, table=table)


class SegmenterEvaluation:
    """Measures a segmenter.

    Args:
        predictor: what has the `labels` and `num_classes` of `keras_pvt.segmentation.Predictor`.
        data: images and labels.
    """

    def __init__(self, predictor: Any, data: SegmentationSet):
        self._predictor, self._data = predictor, data
        self._numbers: dict[str, int] = {}
        self._notes: dict[str, str] = {}

    def run(self, named: str, data: str) -> Report:
        """Measure.

        Args:
            named: how the user calls the model.
            data: how the user calls the data.
        Returns:
            The report. Its numbers are those of `keras_pvt.segmentation.evaluate`, and its matrix
            counts pixels; the worst images have the smallest mean IoU of the classes in them.
        Raises:
            ValueError: numbers of classes differ; no image could be read.
        """
        classes = tuple(self._data.classes)
        whole, worst = Confusion(classes), []

        def each(number: int, labels: np.ndarray, found: np.ndarray) -> None:
            own = Confusion(classes)
            own.add(labels, found)
            whole.counts += own.counts
            value = own.results()["mIoU"]
            name = self._data.name(number)
            self._numbers[name] = number
            if value < 1:
                worst.append(Worst(name, 1 - value, f"mIoU {value:.2f}"))

        numbers = evaluate(self._predictor, self._data, each=each)
        worst.sort(key=lambda one: -one.value)
        self._notes = {one.name: one.note for one in worst[:WORST]}
        left = len(self._data) - len(self._numbers)
        return Report(
            task="segmentation",
            model=named,
            data=data,
            numbers=numbers,
            labels=classes,
            matrix=whole.counts,
            worst=worst[:WORST],
            images=len(self._numbers),
            left_out=[f"{left} images that could not be read, see above"] if left else [],
        )

    def draw(self, name: str) -> Image.Image:
        """An image of the report three times: as it is, its true classes, those that are found.

        Args:
            name: of the image.
        """
        number, classes = self._numbers[name], self._data.classes
        image = self._data.image(number)
        labels = self._data.labels(number)
        pictures = [Image.fromarray(image)]
        pictures += [
            overlay(image, one, classes) for one in (labels, self._predictor.labels(image))
        ]
        whole = Image.new("RGB", (3 * image.shape[1] + 8, image.shape[0]))
        for place, picture in enumerate(pictures):
            whole.paste(picture, (place * (image.shape[1] + 4), 0))
        return captioned(whole, f"image, true, found. {self._notes[name]}", 640)
