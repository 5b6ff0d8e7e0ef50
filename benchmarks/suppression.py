"""Time of non-maximum suppression, by Keras and in exported graphs.

12,000 boxes of 80 classes; only the best pairs of box and class are compared.
"""

import argparse
import functools
import pathlib
import tempfile

import numpy as np
import timing
from contenders import keras_call

ROWS, COLUMNS, CLASSES = 120, 100, 80
EXAMPLES = """examples:
  KERAS_BACKEND=tensorflow python benchmarks/suppression.py
  KERAS_BACKEND=torch python benchmarks/suppression.py --candidates 1000 --threads 2
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--candidates", nargs="+", type=int, default=[200, 500, 1000])
    parser.add_argument("--threads", type=int, help="cores to use; by default all")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each row (10)")
    args = parser.parse_args()
    threads = timing.limit_threads(args.threads)

    from keras_pvt.formats import FORMATS
    from keras_pvt.ops import BACKEND

    formats = [name for name in ("tflite", "onnx") if BACKEND in FORMATS[name].writers]
    cells = _cells()
    columns = [f"keras on {BACKEND}, ms", *(f"{name}, ms" for name in formats)]
    print(f"{ROWS * COLUMNS} boxes, {CLASSES} classes, 100 detections, {threads} threads\n")
    print("| candidates | " + " | ".join(columns) + " |\n" + "|---" * (1 + len(columns)) + "|")
    for candidates in args.candidates:
        model = _model(candidates)
        calls = {"keras": keras_call(model, cells)}
        with tempfile.TemporaryDirectory() as folder:
            for name in formats:
                path = pathlib.Path(folder) / f"model{FORMATS[name].suffix}"
                calls[name] = _exported(model, name, path, threads, cells)
            figures = timing.interleave(calls, args.seconds)
        print(f"| {candidates} | " + " | ".join(f"{ms:.1f}" for ms in figures.values()) + " |")


def _cells() -> np.ndarray:
    """A map whose cells are a box and the scores of its classes: clusters around 40 objects."""
    rng = np.random.default_rng(0)
    count = ROWS * COLUMNS
    objects = rng.uniform(0, 600, (40, 2))[rng.integers(0, 40, count)]
    corners = objects + rng.normal(0, 8, (count, 2))
    sizes = rng.uniform(20, 80, (count, 2))
    scores = rng.beta(1, 8, (count, CLASSES))
    values = np.concatenate([corners, corners + sizes, scores], axis=1)
    return values.astype("float32").reshape(1, ROWS, COLUMNS, -1)


def _model(candidates: int):
    import keras

    from keras_pvt.detection import NonMaxSuppression

    cells = keras.Input((ROWS, COLUMNS, 4 + CLASSES))
    rows = keras.layers.Reshape((-1, 4 + CLASSES))(cells)
    suppression = NonMaxSuppression("xyxy", from_logits=False, max_candidates=candidates)
    answer = suppression(rows[..., :4], rows[..., 4:])
    # One output, as `keras_call` waits for it.
    return keras.Model(cells, answer["boxes"])


def _exported(model, format, path, threads, cells):
    import keras_pvt
    from keras_pvt import runtimes

    keras_pvt.export(model, path, format, batch_size=1)
    return functools.partial(runtimes.load(format, path, threads), cells)


if __name__ == "__main__":
    main()
