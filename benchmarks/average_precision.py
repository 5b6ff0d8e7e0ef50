"""Time of COCO's average precision: `keras_pvt.detection.average_precision` beside pycocotools.

Images have 7 objects of 80 classes and 100 detections each, a few of which are right; both
contenders get the same and take turns. The time is the processor's, of all threads, from boxes in
NumPy to the numbers, which must agree to 1e-12.
"""

import argparse
import pathlib
import time
import unittest.mock

import numpy as np
import timing
from table import Table

EXAMPLES = """examples:
  python benchmarks/average_precision.py
  python benchmarks/average_precision.py --images 500 --rounds 5
"""
OURS, THEIRS = "keras_pvt", "pycocotools"
CLASSES, OBJECTS = 80, 7
HEIGHT, WIDTH = 480, 640


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100, help="of each image (100)")
    parser.add_argument("--rounds", type=int, default=1, help="of each (1)")
    args = parser.parse_args()
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from keras_pvt.detection import average_precision

    data, found = _made(args.images, args.detections)
    results = {}

    def ours():
        results[OURS] = average_precision(data, found)

    def theirs():
        with (
            unittest.mock.patch("faster_coco_eval.COCO", COCO),
            unittest.mock.patch("faster_coco_eval.COCOeval_faster", COCOeval),
        ):
            results[THEIRS] = average_precision(data, found)

    times = timing.interleave({OURS: ours, THEIRS: theirs}, 0.0, args.rounds, 0, time.process_time)
    for name, value in results[OURS].items():
        np.testing.assert_allclose(value, results[THEIRS][name], atol=1e-12, rtol=0)
    table = Table("images, detections of each", [OURS, THEIRS], "ms")
    table.row(f"{args.images:,}, {args.detections}", times)
    print(f"AP {results[OURS]['AP']:.4f}; all numbers agree to 1e-12")


def _made(images: int, detections: int):
    """A set, and what was found in it."""
    from keras_pvt.detection.data.samples import DetectionSet, Sample
    from keras_pvt.detection.results import Detections
    from keras_pvt.utils.data_report import DataReport

    rng = np.random.default_rng(0)
    path = pathlib.Path("image.jpg")
    samples, found = [], []
    for _ in range(images):
        start = rng.uniform(0, [WIDTH - 80, HEIGHT - 80], (OBJECTS, 2))
        sides = np.exp(rng.uniform(np.log(8), np.log(300), (OBJECTS, 2)))
        boxes = np.concatenate([start, start + sides], axis=1).astype("float32")
        labels = rng.integers(0, CLASSES, OBJECTS).astype("int32")
        crowd = rng.random(OBJECTS) < 0.03
        samples.append(Sample(path, HEIGHT, WIDTH, boxes, labels, sides.prod(axis=1), crowd))
        which = rng.integers(0, OBJECTS, detections)
        near = boxes[which] + rng.normal(0, 8, (detections, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        right = rng.random(detections) < 0.3
        classes = np.where(right, labels[which], rng.integers(0, CLASSES, detections))
        scores = np.sort(rng.random(detections).round(3))[::-1]
        found.append(Detections(path, near.astype("float32"), scores, classes))
    return DetectionSet([f"class {n}" for n in range(CLASSES)], samples, DataReport()), found


if __name__ == "__main__":
    main()
