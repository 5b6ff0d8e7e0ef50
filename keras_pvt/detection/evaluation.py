"""Average precision as COCO defines it, by pycocotools (the extra "detection")."""

import contextlib
import io
import math
import sys
from collections.abc import Sequence

from keras_pvt.detection.detector import Detections, Detector
from keras_pvt.detection.samples import DetectionSet, Sample
from keras_pvt.training.measure import Measure

# What pycocotools' summary of 12 numbers begins with.
METRICS = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L")


def metric_names(classes: Sequence[str]) -> list[str]:
    """Keys of what `average_precision` returns."""
    return [*METRICS, *(f"AP50 {name}" for name in classes)]


def average_precision(data: DetectionSet, detections: Sequence[Detections]) -> dict[str, float]:
    """COCO's average precision of detections.

    Args:
        data: images with their true boxes; crowds neither count as missed nor as wrong.
        detections: for each sample, of which the best 100 count. An image with an error is left
            out.
    Returns:
        AP (mean over IoU 0.50 to 0.95), AP50, AP75, AP_S, AP_M, AP_L (of objects below 32 x 32,
        up to 96 x 96, and above, in pixels), and of each class "AP50 NAME"; each 0 to 1, NaN
        where there is nothing to find.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    pairs = zip(data.samples, detections, strict=True)
    readable = {n: pair for n, pair in enumerate(pairs, 1) if pair[1].error is None}
    truth = [entry for n, (sample, _) in readable.items() for entry in _truth(n, sample)]
    guesses = [entry for n, (_, found) in readable.items() for entry in _guesses(n, found)]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports each step
        sets = []
        for annotations in (truth, guesses):
            coco = COCO()
            coco.dataset = {
                "images": [{"id": n} for n in readable],
                "categories": [{"id": n} for n in range(len(data.classes))],
                "annotations": [{"id": n, **entry} for n, entry in enumerate(annotations, 1)],
            }
            coco.createIndex()
            sets.append(coco)
        evaluation = COCOeval(*sets, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # (IoU, recall, class, size, detections) at IoU 0.5, any size, 100; -1: nothing to find
    by_class = evaluation.eval["precision"][0, :, :, 0, -1].mean(axis=0)
    values = [*evaluation.stats[: len(METRICS)], *by_class]
    return {
        name: float(value) if value >= 0 else math.nan
        for name, value in zip(metric_names(data.classes), values, strict=True)
    }


def _truth(image: int, sample: Sample):
    for box, label, area, crowd in zip(
        sample.boxes, sample.labels, sample.areas, sample.crowd, strict=True
    ):
        yield _entry(image, box, label, area) | {"iscrowd": int(crowd)}


def _guesses(image: int, found: Detections):
    for box, label, score in zip(found.boxes, found.labels, found.scores, strict=True):
        area = (box[2] - box[0]) * (box[3] - box[1])
        yield _entry(image, box, label, area) | {"score": float(score)}


def _entry(image, box, label, area) -> dict:
    x1, y1, x2, y2 = map(float, box)
    return {
        "image_id": image,
        "category_id": int(label),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": float(area),
    }


class Evaluation(Measure):
    """After an epoch, COCO's average precision in the log; and the seconds that it took.

    Args:
        detector: whose model is trained.
        data: to evaluate on.
        batch_size: images that the model gets at once.
        epochs: of the run; the last one is always evaluated.
        every: epochs from one evaluation to the next; NaN is logged between them.
    """

    def __init__(
        self, detector: Detector, data: DetectionSet, batch_size: int, epochs: int, every: int = 1
    ):
        super().__init__(metric_names(data.classes), self._measure, epochs, every)
        self.detector, self.data, self.batch_size = detector, data, batch_size

    def _measure(self) -> dict[str, float]:
        paths = [sample.path for sample in self.data.samples]
        found = list(self.detector.detect(paths, self.batch_size))
        for unreadable in (one.error for one in found if one.error):
            print(f"not evaluated: {unreadable}", file=sys.stderr)
        return average_precision(self.data, found)
