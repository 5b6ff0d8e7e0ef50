"""Metrics of segmentation, counted over a whole set."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_pvt.layers import base
from keras_pvt.segmentation.data.samples import IGNORED
from keras_pvt.segmentation.losses import at_size_of, check_ignored, valid_labels

METRICS = ("mIoU", "pixel_accuracy", "mean_accuracy")


def metric_names(classes: Sequence[str]) -> list[str]:
    """Keys of what `Confusion.results` returns."""
    return [*METRICS, *(f"IoU {name}" for name in classes)]


class Confusion:
    """The confusion matrix of a whole set of images.

    Args:
        classes: names, in the order of the labels.
        ignore: label of the pixels that do not count.
    Attributes:
        counts: `(K, K)` int64, pixels by true class, then by predicted class.
    Raises:
        ValueError: a class 255, while `ignore` is 255.
    """

    def __init__(self, classes: Sequence[str], ignore: int = IGNORED):
        check_ignored(ignore, len(classes))
        self.classes, self.ignore = list(classes), ignore
        self.counts = np.zeros((len(classes), len(classes)), "int64")

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Count the pixels of an image, or of several.

        Args:
            truth: integer labels of any shape.
            prediction: integer classes, of the same shape.
        Raises:
            ValueError: shapes differ; a label that is no class, where it counts.
        """
        if truth.shape != prediction.shape:
            raise ValueError(
                f"labels of shape {truth.shape} were predicted as {prediction.shape}: both must "
                "be of one size, the image's."
            )
        valid = truth != self.ignore
        truth, prediction = truth[valid].astype("int64"), prediction[valid].astype("int64")
        number = len(self.classes)
        for name, labels in (("true", truth), ("predicted", prediction)):
            if labels.size and not (labels.min() >= 0 and labels.max() < number):
                raise ValueError(
                    f"{name} labels must be 0..{number - 1}, or {self.ignore} where they are to be "
                    f"ignored; got {labels.min()}..{labels.max()}."
                )
        pairs = np.bincount(number * truth + prediction, minlength=number**2)
        self.counts += pairs.reshape(number, number)

    def iou(self) -> np.ndarray:
        """Intersection over union of each class, `(K,)`, 0 to 1; NaN for a class that is neither in
        the labels nor predicted."""
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - self.counts.diagonal()
        return _ratio(self.counts.diagonal(), union)

    def results(self) -> dict[str, float]:
        """mIoU, pixel_accuracy, mean_accuracy and "IoU NAME" of each class.

        Returns:
            0 to 1, NaN if there is nothing to count. mIoU is the mean over the classes that occur
            in labels or predictions. mean_accuracy is the mean, over the classes in the labels, of
            the share of the class's pixels that were found.
        Source:
            mmsegmentation 0.13 mmseg/core/evaluation/metrics.py, `mean_iou`.
        """
        found, iou = self.counts.diagonal(), self.iou()
        values = [
            _mean(iou),
            float(_ratio(found.sum(), self.counts.sum())),
            _mean(_ratio(found, self.counts.sum(axis=1))),
            *iou.tolist(),
        ]
        return dict(zip(metric_names(self.classes), values, strict=True))


def _ratio(part, whole):
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")


@base.register
class PixelAccuracy(keras.metrics.Metric):
    """The share of pixels whose class has the largest logit, without ignored pixels.

    Args:
        ignore: label of the pixels that are ignored.
        name: of the metric.
        dtype: dtype of the counts; by default Keras's.
    Call arguments:
        y_true: integer labels `(B, H, W)`.
        y_pred: logits or probabilities `(B, h, w, K)`, resized as `PixelCrossentropy` does it.
        sample_weight: of each image, `(B,)`, or None.
    Raises:
        ValueError: shapes other than these; a class 255, while `ignore` is 255.
    """

    def __init__(self, ignore: int = IGNORED, name: str = "accuracy", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.ignore = ignore
        self.correct = self.add_variable((), "zeros", name="correct")
        self.counted = self.add_variable((), "zeros", name="counted")

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true = ops.convert_to_tensor(y_true)
        logits = at_size_of(y_true, ops.convert_to_tensor(y_pred))
        labels, counts = valid_labels(y_true, logits.shape[-1], self.ignore)
        right = ops.logical_and(counts, ops.cast(ops.argmax(logits, axis=-1), "int32") == labels)
        for total, where in ((self.correct, right), (self.counted, counts)):
            sums = ops.sum(ops.cast(where, self.dtype), axis=(1, 2))
            if sample_weight is not None:
                sums = sums * ops.reshape(ops.cast(sample_weight, self.dtype), (-1,))
            total.assign_add(ops.sum(sums))

    def result(self):
        return ops.divide_no_nan(self.correct, self.counted)

    def get_config(self):
        return {**super().get_config(), "ignore": self.ignore}
