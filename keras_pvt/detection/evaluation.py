"""Average precision as COCO defines it, by faster-coco-eval (the extra "detection")."""

import contextlib
import io
import math
import sys
from collections.abc import Sequence

from keras_pvt.detection.data.samples import DetectionSet, Sample
from keras_pvt.detection.data.segmentations import area_of, run_lengths
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.results import Detections
from keras_pvt.utils.extras import needed_for

# What the summary of 12 numbers begins with.
METRICS = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L")
MASK_METRICS = tuple(f"mask_{name}" for name in METRICS)


def metric_names(classes: Sequence[str], masks: bool = False) -> list[str]:
    """Keys of what `average_precision` returns, of boxes or of masks."""
    names = MASK_METRICS if masks else METRICS
    return [*names, *(f"{names[1]} {name}" for name in classes)]


def average_precision(
    data: DetectionSet, detections: Sequence[Detections], masks: bool = False
) -> dict[str, float]:
    """COCO's average precision of detections.

    Args:
        data: images with their true boxes; crowds count neither as missed nor as wrong.
        detections: one for each image, in the same order. The best 100 boxes of an image count,
            and an image with an error is left out.
        masks: whether to compare masks rather than boxes; the data and the detections then need
            masks.
    Returns:
        AP (mean over IoU 0.50 to 0.95), AP50, AP75, AP_S, AP_M, AP_L (objects below 32 x 32
        pixels, up to 96 x 96, and above), and "AP50 NAME" of each class; each 0 to 1, NaN where
        there is no object. For masks, the names begin with "mask_".
    Raises:
        ImportError: faster-coco-eval is not installed.
    Source:
        https://cocodataset.org/#detection-eval, computed by faster-coco-eval, whose numbers are
        those of pycocotools.
    """
    with needed_for("measuring average precision", "detection"):
        from faster_coco_eval import COCO, COCOeval_faster

    pairs = zip(data.samples, detections, strict=True)
    readable = {n: pair for n, pair in enumerate(pairs, 1) if pair[1].error is None}
    truth = [entry for n, (sample, _) in readable.items() for entry in _truth(n, sample, masks)]
    guesses = [entry for n, (_, found) in readable.items() for entry in _guesses(n, found, masks)]
    with contextlib.redirect_stdout(io.StringIO()):  # it reports each step
        sets = []
        for annotations in (truth, guesses):
            coco = COCO()
            coco.dataset = {
                "images": [
                    {"id": n, "height": sample.height, "width": sample.width}
                    for n, (sample, _) in readable.items()
                ],
                "categories": [{"id": n} for n in range(len(data.classes))],
                "annotations": [{"id": n, **entry} for n, entry in enumerate(annotations, 1)],
            }
            coco.createIndex()
            sets.append(coco)
        evaluation = COCOeval_faster(*sets, "segm" if masks else "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # (IoU, recall, class, size, detections) at IoU 0.5, any size, 100; -1: nothing to find
    by_class = evaluation.eval["precision"][0, :, :, 0, -1].mean(axis=0)
    values = [*evaluation.stats[: len(METRICS)], *by_class]
    return {
        name: float(value) if value >= 0 else math.nan
        for name, value in zip(metric_names(data.classes, masks), values, strict=True)
    }


def _truth(image: int, sample: Sample, masks: bool):
    outlines = sample.segmentations if masks else [None] * len(sample.boxes)
    for box, label, area, crowd, outline in zip(
        sample.boxes, sample.labels, sample.areas, sample.crowd, outlines, strict=True
    ):
        entry = _entry(image, box, label, area) | {"iscrowd": int(crowd)}
        yield entry | ({"segmentation": outline} if masks else {})


def _guesses(image: int, found: Detections, masks: bool):
    runs = run_lengths(map(found.mask, range(len(found.boxes)))) if masks else []
    for n, (box, label, score) in enumerate(
        zip(found.boxes, found.labels, found.scores, strict=True)
    ):
        area = (box[2] - box[0]) * (box[3] - box[1])
        entry = _entry(image, box, label, area) | {"score": float(score)}
        if masks:
            # The area of a mask is its own: a mask may be empty.
            entry |= {"segmentation": runs[n], "area": float(area_of(runs[n]))}
        yield entry


def _entry(image, box, label, area) -> dict:
    x1, y1, x2, y2 = map(float, box)
    return {
        "image_id": image,
        "category_id": int(label),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": float(area),
    }


def evaluate(
    detector: Detector, data: DetectionSet, batch_size: int, masks: bool = False
) -> dict[str, float]:
    """Detect in the images of a set, and measure what was found.

    Images that cannot be read are named on stderr and left out.

    Args:
        detector: to measure.
        data: images with their true boxes.
        batch_size: images that the model gets at once.
        masks: whether masks are measured too.
    Returns:
        What `average_precision` gives, of boxes and of masks.
    Raises:
        ImportError: faster-coco-eval is not installed.
    """
    found = list(detector.detect([sample.path for sample in data.samples], batch_size))
    for unreadable in (one.error for one in found if one.error):
        print(f"not evaluated: {unreadable}", file=sys.stderr)
    results = average_precision(data, found)
    return results | (average_precision(data, found, masks=True) if masks else {})
