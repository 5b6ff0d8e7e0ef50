"""Average precision against values worked out by hand."""

import dataclasses
import pathlib

import numpy as np
import pytest

from keras_pvt.detection.data.samples import DetectionSet, Sample
from keras_pvt.detection.evaluation import average_precision, metric_names
from keras_pvt.detection.results import Detections
from keras_pvt.utils.data_report import DataReport

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

PATH = pathlib.Path("image.png")


def masked(boxes, size=(300, 400)):
    """A sample whose objects fill their boxes."""
    whole = sample(boxes, [0] * len(boxes))
    outlines = tuple([[x1, y1, x2, y1, x2, y2, x1, y2]] for x1, y1, x2, y2 in boxes)
    return dataclasses.replace(whole, segmentations=outlines)


def sample(boxes, labels, crowd=None):
    boxes = np.array(boxes, "float32").reshape(-1, 4)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    crowd = np.zeros(len(boxes), bool) if crowd is None else np.array(crowd)
    return Sample(PATH, 300, 400, boxes, np.array(labels, "int32"), areas, crowd)


def found(boxes, scores, labels, error=None):
    boxes = np.array(boxes, "float32").reshape(-1, 4)
    return Detections(PATH, boxes, np.array(scores), np.array(labels, int), error)


def evaluate(samples, detections):
    data = DetectionSet(["a", "b"], samples, DataReport())
    return average_precision(data, detections)


BOX, OTHER = [10, 20, 110, 70], [200, 100, 220, 130]


def test_perfect_detections():
    result = evaluate([sample([BOX, OTHER], [0, 1])], [found([BOX, OTHER], [0.9, 0.8], [0, 1])])
    assert list(result) == metric_names(["a", "b"])
    assert {key: result[key] for key in ("AP", "AP50", "AP75", "AP50 a", "AP50 b")} == (
        dict.fromkeys(("AP", "AP50", "AP75", "AP50 a", "AP50 b"), pytest.approx(1))
    )
    # 100 x 50 is of middle size, 20 x 30 is small
    assert (result["AP_S"], result["AP_M"]) == (pytest.approx(1), pytest.approx(1))
    assert np.isnan(result["AP_L"])


def test_overlap_decides_at_which_thresholds_a_box_counts():
    # 73 of 100 columns: IoU 0.73, above 0.50, 0.55, 0.60, 0.65 and 0.70 of ten
    result = evaluate([sample([BOX], [0])], [found([[10, 20, 83, 70]], [0.9], [0])])
    assert result["AP"] == pytest.approx(0.5)
    assert (result["AP50"], result["AP75"]) == (pytest.approx(1), 0)


def test_a_wrong_box_above_costs_precision_and_a_missed_one_recall():
    # Sorted by score: wrong, right. Of two objects one is found, at precision 1/2: so recalls
    # 0 to 0.50, 51 of COCO's 101 points, count half.
    truth = sample([BOX, OTHER], [0, 0])
    result = evaluate([truth], [found([[300, 200, 340, 280], BOX], [0.9, 0.6], [0, 0])])
    assert result["AP50"] == pytest.approx(0.5 * 51 / 101)
    below = evaluate([truth], [found([BOX, [300, 200, 340, 280]], [0.9, 0.6], [0, 0])])
    assert below["AP50"] == pytest.approx(51 / 101)


def test_a_box_of_another_class_or_image_finds_nothing():
    samples = [sample([BOX], [0]), sample([OTHER], [1])]
    result = evaluate(samples, [found([BOX], [0.9], [1]), found([BOX], [0.9], [0])])
    assert result["AP50"] == 0
    assert result["AP50 a"] == 0


def test_the_mean_is_over_classes_that_occur():
    result = evaluate([sample([BOX], [1])], [found([BOX], [0.9], [1])])
    assert result["AP50"] == pytest.approx(1)
    assert np.isnan(result["AP50 a"])


def test_crowds_are_neither_missed_nor_wrong():
    truth = sample([BOX, OTHER], [0, 0], crowd=[False, True])
    assert evaluate([truth], [found([BOX], [0.9], [0])])["AP50"] == pytest.approx(1)
    inside = [[202, 102, 210, 110], BOX]
    assert evaluate([truth], [found(inside, [0.9, 0.8], [0, 0])])["AP50"] == pytest.approx(1)


@pytest.mark.parametrize(("columns", "precision"), [(28, 1.0), (21, 0.5), (12, 0.0)])
def test_masks_are_compared_pixel_by_pixel(columns, precision):
    """Of a mask, a part of the box: IoU about 1, 0.75 (above 0.50 to 0.70, or 0.75) and 0.43."""
    mask = np.zeros((1, 28, 28), "float32")
    mask[:, :, :columns] = 1
    box = [100, 100, 240, 240]
    detections = dataclasses.replace(found([box], [0.9], [0]), masks=mask, size=(300, 400))
    data = DetectionSet(["a", "b"], [masked([box])], DataReport())
    result = average_precision(data, [detections], masks=True)
    assert list(result) == metric_names(["a", "b"], masks=True)
    assert result["mask_AP"] == pytest.approx(precision, abs=0.11)
    assert result["mask_AP50"] == pytest.approx(1 if precision else 0)
    assert average_precision(data, [detections])["AP"] == pytest.approx(1)  # of the box


def test_nothing_found_and_nothing_readable(capsys):
    nothing = found([], [], [])
    assert evaluate([sample([BOX], [0])], [nothing])["AP"] == 0
    readable = [sample([BOX], [0]), sample([OTHER], [0])]
    unread = found([], [], [], error="broken")
    assert evaluate(readable, [found([BOX], [0.5], [0]), unread])["AP"] == pytest.approx(1)
    assert np.isnan(evaluate([sample([BOX], [0])], [unread])["AP"])
    assert capsys.readouterr().out == ""


def drawn(rng, images=12, classes=2):
    """Samples and detections of all kinds: crowds, any size, equal scores, more than 100."""
    samples, detections = [], []
    for number in range(images):
        count = int(rng.integers(0, 9))
        start = rng.uniform(0, [300, 200], (count, 2))
        boxes = np.concatenate([start, start + rng.uniform(4, 100, (count, 2))], axis=1)
        outlines = tuple([[x1, y1, x2, y1, x2, y2, x1, y2]] for x1, y1, x2, y2 in boxes.tolist())
        truth = sample(boxes, rng.integers(0, classes, count), rng.random(count) < 0.2)
        samples.append(dataclasses.replace(truth, segmentations=outlines))
        guesses = 130 if number == 0 else 40
        near = truth.boxes[rng.integers(0, count, guesses)] if count else np.zeros((guesses, 4))
        near = near + rng.normal(0, 6, near.shape) + [0, 0, 8, 8]
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 2)
        scores = np.round(rng.random(guesses), 1)
        one = found(near, np.sort(scores)[::-1], rng.integers(0, classes, guesses))
        masks = rng.uniform(0.45, 1, (guesses, 28, 28)).astype("float32")
        detections.append(dataclasses.replace(one, masks=masks, size=(300, 400)))
    return DetectionSet(["a", "b"], samples, DataReport()), detections


@pytest.mark.parametrize("masks", [False, True])
def test_the_numbers_are_those_of_pycocotools(rng, masks, monkeypatch):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    data, detections = drawn(rng)
    ours = average_precision(data, detections, masks)
    assert 0.05 < ours["mask_AP" if masks else "AP"] < 0.95
    monkeypatch.setattr("faster_coco_eval.COCO", COCO)
    monkeypatch.setattr("faster_coco_eval.COCOeval_faster", COCOeval)
    theirs = average_precision(data, detections, masks)
    assert ours == pytest.approx(theirs, abs=1e-12, nan_ok=True)
