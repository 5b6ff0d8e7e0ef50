"""`keras-pvt export`: a model in a format that runs without Keras."""

import argparse
import pathlib

from keras_pvt.cli import arguments
from keras_pvt.formats import FORMATS, NEED_IMAGES, QUANTIZATIONS
from keras_pvt.variants import VARIANTS

DESCRIPTION = f"""\
Export a model to a format that runs without Keras, run the file, and compare it with the model.
MODEL is a variant with its weights ({", ".join(VARIANTS)}), a checkpoint that
`keras-pvt convert` reads (also of Semantic FPN and Trans2Seg), a .keras file, or a repository on a
hub that contains one of these, hf://OWNER/NAME."""

EPILOG = """\
examples:
  keras-pvt export pvt_tiny --format tflite
  keras-pvt export pvt_tiny --format onnx --size any --out pvt_tiny_any.onnx
  keras-pvt export pvt_small --format tflite --quantize int8 --representative photos/
  keras-pvt export runs/boxes/model.keras --format onnx
  keras-pvt export my_model.keras --format saved_model --include-preprocessing
  keras-pvt export pvt_small.pth --format openvino --features --size 480x640
  keras-pvt export hf://timm/pvt_v2_b0.in1k --format onnx
  keras-pvt export model.keras --format tflite --size 512x512 --argmax

The input is named "images": RGB (batch, height, width, 3), normalised as by
keras_pvt.preprocess_input, or 0..255 with --include-preprocessing. docs/export.md explains which
format to choose, and how to run each.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    arguments.add_named_model(parser, "a variant, a checkpoint or a .keras file")
    add("--format", choices=FORMATS, required=True)
    add(
        "--out",
        type=pathlib.Path,
        metavar="PATH",
        help="file to write, or folder for saved_model (default: MODEL's name, here)",
    )
    add(
        "--weights",
        metavar="NAME|PATH|hf://OWNER/NAME",
        help="weights of a variant (default: its pretrained ones)",
    )
    add(
        "--size",
        type=_size_or_any,
        metavar="PIXELS|HxW|any",
        help="image size (default: as the weights were trained; for a detector, its shorter side "
        "x its longer side)",
    )
    add(
        "--batch-size",
        type=_count_or_any,
        default="auto",
        metavar="N|any",
        help="images in a batch (default: 1 for tflite, else any)",
    )
    add(
        "--quantize",
        choices=("none", *QUANTIZATIONS),
        default="none",
        help="number format of the exported file, mostly for tflite (default: none, float32)",
    )
    add(
        "--representative",
        type=pathlib.Path,
        metavar="FOLDER",
        help="images, also in sub-folders: to calibrate int8 and full-int8, and to compare outputs",
    )
    add("--include-preprocessing", action="store_true", help="make the file take RGB 0..255")
    add(
        "--features",
        action="store_true",
        help="output the feature pyramid P2 to P5 instead of classes",
    )
    add("--logits", action="store_true", help="for a classifier: omit the softmax")
    add(
        "--argmax",
        action="store_true",
        help="for a segmentation model: output the number of each pixel's class instead of logits",
    )
    add(
        "--opset",
        type=arguments.positive,
        metavar="N",
        help="opset of ONNX, for runtimes that do not read the newest (default: the writer's)",
    )
    arguments.add_classes(parser)
    add("--overwrite", action="store_true", help="replace an existing file")
    add(
        "--verify",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="run the file and compare it with the model (default: yes)",
    )


def _size_or_any(text: str) -> tuple[int | None, int | None]:
    return (None, None) if text == "any" else arguments.size(text)


def _count_or_any(text: str) -> int | str | None:
    if text == "auto":
        return text
    return None if text == "any" else arguments.positive(text)


def run(options: argparse.Namespace) -> int:
    """Export; 0 once the artifact is there, 1 where it was quantized and differs too much."""
    from keras_pvt.exporting import class_names
    from keras_pvt.utils.quiet import quiet_libraries

    with quiet_libraries():
        exported, trained_size = _export(options)
    if options.size is None and trained_size is not None:
        sides = "x".join(map(str, trained_size))
        print(f"size {sides}, as it was trained: --size takes another, or any where that works")
    names = class_names(exported.path)
    if names:
        print(f"names of {len(names)} classes are in it")
    return _report(exported)


def _export(options):
    from rich.console import Console

    from keras_pvt.exporting.export import check_request, export
    from keras_pvt.exporting.sources import load, resize_size
    from keras_pvt.exporting.subject import takes_pixels

    source = arguments.named_model(options)
    quantize = None if options.quantize == "none" else options.quantize
    name = pathlib.Path(source).name.split(".")[0]
    path = options.out or pathlib.Path(name + FORMATS[options.format].suffix)
    writer = check_request(
        path, options.format, quantize, options.opset, options.overwrite, options.verify
    )
    if quantize in NEED_IMAGES and options.representative is None:
        raise ValueError(
            f"--quantize {quantize} needs --representative FOLDER, of about 100 images."
        )

    status = Console(stderr=True)
    with status.status(f"loading {source}"):
        model, trained_size, classes = load(
            source, options.weights, options.features, options.logits, options.size
        )
    given = arguments.given_classes(options)
    classes = classes if given is None else tuple(given)
    size = options.size or trained_size
    images = None
    if options.representative is not None:
        pixels = options.include_preprocessing or takes_pixels(model)
        images = _representative(options.representative, size, model, pixels)
    with status.status(f"writing {path} by {writer}, and running it"):
        exported = export(
            model,
            path,
            options.format,
            size=size,
            batch_size=options.batch_size,
            quantize=quantize,
            representative=images,
            include_preprocessing=options.include_preprocessing,
            argmax=options.argmax,
            opset=options.opset,
            classes=classes,
            resize_size=resize_size(source, options.weights) if size == trained_size else None,
            overwrite=options.overwrite,
            verify=options.verify,
        )
    return exported, trained_size


def _representative(folder, size, model, pixels):
    from keras_pvt.exporting.representative import representative_images

    sides = model.inputs[0].shape[1:3] if size is None else size
    if None in sides:
        raise ValueError("representative images need a size; pass --size.")
    return representative_images(folder, sides, pixels)


def _report(exported) -> int:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if exported.comparisons:
        table = Table("output", "images", "largest difference", "cosine", "")
        for row in exported.comparisons:
            shape = " x ".join(map(str, row.input_shape))
            cosine = "" if row.classes else f"{row.cosine:.6f}"
            verdict = "ok" if row.passed else "differs"
            table.add_row(row.output, shape, row.difference, cosine, verdict)
        console.print(table)
    shape = " x ".join("any" if size is None else str(size) for size in exported.input_shape)
    megabytes = f"{exported.size / 1e6:.1f} MB"
    print(f"{exported.path}: {exported.format}, {megabytes}, images {shape}, by {exported.writer}")
    if exported.passed:
        return 0
    raise ValueError(
        f"{exported.path} is written, but it differs from its model more than it should; other "
        "representative images, or a milder --quantize, may help."
    )
