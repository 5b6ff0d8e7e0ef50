"""Time of Mask R-CNN and Faster R-CNN on PVT-Tiny: one image to boxes, and a training step.

The models have 80 classes, 1,000 proposals of an image and random weights, which find next to
nothing: masks of boxes that are found come on top. Images are one of 256x192 pixels in evaluation,
two in training. With `--against` an earlier checkout of this package is timed too: each is a
process of its own, and they take turns.
"""

import argparse
import functools
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import timing
from table import Table

EXAMPLES = """examples:
  git worktree add --detach /tmp/earlier 43de08c  # before each box was looked at by itself
  KERAS_BACKEND=torch python benchmarks/mask_rcnn.py --against /tmp/earlier
"""
OURS, EARLIER = "keras_pvt", "earlier"
CASES = ("evaluation, boxes", "evaluation, masks", "training, boxes", "training, masks")
HEIGHT, WIDTH, CLASSES = 256, 192, 80


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--against", type=pathlib.Path, help="an earlier checkout of this package")
    parser.add_argument("--threads", type=int, help="cores to use; by default all")
    parser.add_argument("--rounds", type=int, default=5, help="calls of each (5)")
    parser.add_argument("--only", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    threads = timing.limit_threads(args.threads)
    if args.worker:
        _work()
        return
    checkouts = {OURS: pathlib.Path(__file__).parents[1]}
    if args.against:
        if not (args.against / "keras_pvt").is_dir():
            raise SystemExit(f"{args.against} is no checkout of keras_pvt.")
        checkouts[EARLIER] = args.against.resolve()
    workers = {name: _worker(checkout) for name, checkout in checkouts.items()}
    print(f"Backend {os.environ.get('KERAS_BACKEND', 'by default')}, {threads} threads")
    table = Table("256x192 pixels", list(workers), "ms")
    for case in args.only:
        calls = {name: functools.partial(_ask, at, case) for name, at in workers.items()}
        table.row(case, timing.interleave(calls, 0.0, args.rounds))
    for worker in workers.values():
        worker.communicate()


def _worker(checkout: pathlib.Path) -> subprocess.Popen:
    command = [sys.executable, __file__, "--worker"]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    return subprocess.Popen(
        command, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def _ask(worker: subprocess.Popen, case: str) -> None:
    """Let a process do a call, and wait for it."""
    worker.stdin.write(case + "\n")
    worker.stdin.flush()
    while line := worker.stdout.readline():
        if line == f"{case}\n":
            return
    raise SystemExit(f"The process that times {case} has ended.")


def _work() -> None:
    calls: dict[str, Callable] = {}
    for line in sys.stdin:
        case = line.strip()
        if case not in calls:
            calls[case] = _call(case)
        calls[case]()
        print(case, flush=True)


def _call(case: str) -> Callable:
    import keras

    import keras_pvt

    keras.utils.set_random_seed(0)
    masks = case.endswith("masks")
    backbone = keras_pvt.PVTBackbone("pvt_tiny", input_shape=(HEIGHT, WIDTH, 3))
    model = keras_pvt.detection.MaskRCNN(backbone, CLASSES, masks=masks)
    rng = np.random.default_rng(0)
    images = rng.standard_normal((2, HEIGHT, WIDTH, 3)).astype("float32")
    if case.startswith("evaluation"):
        detector = model.detector()
        return lambda: detector.predict_on_batch(images[:1])
    objects = 10
    start = rng.uniform(0, 0.7, (2, objects, 2)) * (WIDTH, HEIGHT)
    end = np.minimum(start + rng.uniform(20, 100, start.shape), (WIDTH, HEIGHT))
    labels = {
        "boxes": np.concatenate([start, end], axis=-1).astype("float32"),
        "classes": rng.integers(0, CLASSES, (2, objects)).astype("int32"),
    }
    if masks:
        labels["masks"] = rng.integers(0, 2, (2, objects, HEIGHT, WIDTH)).astype("uint8")
    model.compile(keras.optimizers.SGD(1e-4))
    return lambda: model.train_on_batch(images, labels)


if __name__ == "__main__":
    main()
