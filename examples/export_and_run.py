"""Export a model to every format, and classify photographs by each artifact without Keras.

python examples/export_and_run.py
python examples/export_and_run.py photo.jpg --model pvt_tiny --formats tflite onnx

The default model ships with the package and knows the ten classes of CIFAR-10.
"""

import argparse
import pathlib

import numpy as np
from rich.console import Console
from rich.table import Table

from keras_pvt import runtimes
from keras_pvt.classification.decoding import decode_predictions
from keras_pvt.exporting import export
from keras_pvt.exporting.sources import load
from keras_pvt.formats import FORMATS
from keras_pvt.utils.image_files import image_files
from keras_pvt.utils.images import eval_transform
from keras_pvt.variants import VARIANTS, WEIGHTS, default_name

IMAGES = sorted((pathlib.Path(__file__).parent / "images").glob("*.jpg"))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", nargs="*", default=IMAGES, help="files and folders")
    parser.add_argument("--model", default="pvt_nano", help="a variant or a checkpoint")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=list(FORMATS))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("exported"))
    parser.add_argument("--classes", default="imagenet", help="of a checkpoint, or cifar10")
    options = parser.parse_args(arguments)

    files = image_files(options.images)
    classes = options.classes
    if options.model in VARIANTS:
        classes = WEIGHTS[options.model, default_name(options.model)].classes
    model, size, _ = load(options.model)
    assert size is not None  # the model of a variant or a checkpoint takes any
    crops = np.float32([eval_transform(file, size[0], resize_size=size[0]) for file in files])
    options.out.mkdir(parents=True, exist_ok=True)
    table = Table("format", "MB", *(file.stem for file in files))
    for format in options.formats:
        exported = export(
            model,
            options.out / f"{model.name}{FORMATS[format].suffix}",
            format,
            size=size,
            include_preprocessing=True,
            overwrite=True,
        )
        run = runtimes.load(format, exported.path)
        scores = np.concatenate(
            [run(crop[None].astype("float32"))["predictions"] for crop in crops]
        )
        decoded = decode_predictions(scores, 1, classes)
        best = [f"{name} {value:.1%}" for ((_, name, value),) in decoded]
        table.add_row(format, f"{exported.size / 1e6:.1f}", *best)
    Console().print(table)
    print(f"written to {options.out.resolve()}")


if __name__ == "__main__":
    main()
