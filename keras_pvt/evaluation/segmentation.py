"""Intersection over union of a segmenter, and which classes it takes for which."""

from typing import Any

import numpy as np
from PIL import Image

from keras_pvt.evaluation.report import Report, Worst
from keras_pvt.segmentation.data.samples import SegmentationSet
from keras_pvt.segmentation.drawing import overlay
from keras_pvt.segmentation.evaluation import evaluate
from keras_pvt.segmentation.metrics import Confusion
from keras_pvt.utils.drawing import captioned

WORST = 100  # images that a report names


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
