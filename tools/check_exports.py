"""Export variants to the formats that a backend writes, and print how far the artifacts differ.

    KERAS_BACKEND=tensorflow python tools/check_exports.py
    KERAS_BACKEND=torch python tools/check_exports.py --variants pvt_tiny --formats onnx
    KERAS_BACKEND=tensorflow python tools/check_exports.py --quantize int8 --images FOLDER

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
from keras_pvt.exporting.representative import representative_images
from keras_pvt.formats import FORMATS, QUANTIZATIONS
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
    parser.add_argument("--quantize", choices=QUANTIZATIONS, help="TFLite in fewer bits")
    parser.add_argument("--images", type=pathlib.Path, metavar="FOLDER", help="to compare on")
    options = parser.parse_args()
    if options.quantize:
        options.formats, options.sizes = ["tflite"], options.sizes[:3]
    print(f"backend {BACKEND}, {options.quantize or 'float32'}\n")
    print("| model | format | size | MB | largest difference | smallest cosine | seconds |")
    print("|---|---|---|---|---|---|---|")
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
                    row = _row(model, format, size, options.quantize, options.images)
                    print(f"| {variant} {kind} | {format} | {size} | {row}", flush=True)


def _perturb(model) -> None:
    """Norms of 1 and 0 and biases of 0 would hide mistakes."""
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(keras.ops.convert_to_numpy(weight) + 0.05 * rng.standard_normal(weight.shape))


def _row(model, format, size, quantize, folder_of_images) -> str:
    start = time.perf_counter()
    height, width = SIZES[size]
    images = None
    if folder_of_images is not None:
        sides = height or 224, width or 224
        images = representative_images(folder_of_images, sides, pixels=False)
    with tempfile.TemporaryDirectory() as folder:
        exported = keras_pvt.export(
            model,
            pathlib.Path(folder) / f"model{FORMATS[format].suffix}",
            format,
            size=(height, width),
            batch_size=None if size == "any" else 1,
            quantize=quantize,
            representative=images,
        )
    error = max(row.error for row in exported.comparisons)
    cosine = min(row.cosine for row in exported.comparisons)
    seconds = time.perf_counter() - start
    return f"{exported.size / 1e6:.1f} | {error:.1e} | {cosine:.5f} | {seconds:.0f} |"


if __name__ == "__main__":
    main()
