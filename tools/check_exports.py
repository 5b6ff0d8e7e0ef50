"""Export variants to the formats that a backend writes, and print how far the artifacts differ.

    KERAS_BACKEND=tensorflow python tools/check_exports.py
    KERAS_BACKEND=torch python tools/check_exports.py --variants pvt_tiny --formats onnx

Each is exported for fixed sizes and for any, as a classifier (logits) and as a backbone (P2 to P5),
with random weights that hide nothing.
"""

import argparse
import pathlib
import tempfile
import time

import keras
import numpy as np

import keras_pvt
from keras_pvt.exporting.formats import FORMATS
from keras_pvt.ops import BACKEND

SIZES = {"224x224": (224, 224), "256x320": (256, 320), "250x333": (250, 333), "any": (None, None)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    written = [name for name in FORMATS if BACKEND in FORMATS[name].writers]
    parser.add_argument("--variants", nargs="+", default=["pvt_tiny", "pvt_small"])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=written or list(FORMATS))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--no-backbone", action="store_true", help="classifiers only")
    options = parser.parse_args()
    print(f"backend {BACKEND}\n\n| model | format | size | MB | largest difference | seconds |")
    print("|---|---|---|---|---|---|")
    for variant in options.variants:
        shape = (None, None, 3)
        models = {
            "classifier": keras_pvt.classifier(
                variant, input_shape=shape, classifier_activation=None
            )
        }
        if not options.no_backbone:
            models["backbone"] = keras_pvt.PVTBackbone(variant, input_shape=shape)
        for kind, model in models.items():
            _perturb(model)
            for format in options.formats:
                for size in options.sizes:
                    print(f"| {variant} {kind} | {format} | {size} |", _row(model, format, size))


def _perturb(model) -> None:
    """Norms of 1 and 0 and biases of 0 would hide mistakes."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(keras.ops.convert_to_numpy(weight) + 0.05 * rng.standard_normal(weight.shape))


def _row(model, format, size) -> str:
    start = time.perf_counter()
    batch = None if size == "any" else 1
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"model{FORMATS[format].suffix}"
        exported = keras_pvt.export(model, path, format, size=SIZES[size], batch_size=batch)
    worst = max(row.error for row in exported.comparisons)
    return f"{exported.size / 1e6:.1f} | {worst:.1e} | {time.perf_counter() - start:.0f} |"


if __name__ == "__main__":
    main()
