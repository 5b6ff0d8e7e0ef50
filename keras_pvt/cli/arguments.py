"""Types of command-line values, and options that several sub-commands share."""

import argparse
import os
import pathlib
from collections.abc import Callable
from typing import Any

from keras_pvt.engines import table
from keras_pvt.utils.sizes import parse_size
from keras_pvt.variants import VARIANTS


def size(text: str) -> tuple[int, int]:
    """Height and width in pixels, from "224" or "480x640"."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> int:
    """An integer of at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1; got {text!r}")
    return int(text)


def zero_or_more(text: str) -> int:
    """An integer of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected an integer of at least 0; got {text!r}")
    return int(text)


def pixel(text: str) -> tuple[int, int]:
    """Column and row of a pixel, from "120,80"."""
    numbers = text.split(",")
    if len(numbers) != 2 or not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"expected X,Y in pixels, such as 120,80; got {text!r}")
    return int(numbers[0]), int(numbers[1])


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1; got {text!r}")
    return value


def factor(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0; got {text!r}")
    return value


def add_image_options(
    parser: argparse.ArgumentParser,
    batch_size: int | None = None,
    json: str = "write JSON, one object a line",
) -> None:
    """Which images, whether to write JSON, and how many images at once, if that can be chosen.

    No image may be given, as there may be a camera. Of no number of images `batch_size` stays None.
    """
    parser.add_argument(
        "images",
        nargs="*",
        type=pathlib.Path,
        metavar="IMAGE|VIDEO|FOLDER",
        help="image files, videos, and folders of images",
    )
    parser.add_argument("--json", action="store_true", help=json)
    if batch_size is not None:
        parser.add_argument(
            "--batch-size",
            type=positive,
            metavar="N",
            help=f"images in a batch (default: {batch_size}; for a camera 1)",
        )


def add_named_model(
    parser: argparse.ArgumentParser, text: str, kind: Callable[[str], str] = str
) -> None:
    """A model by its name or path, as the first word or by --model; see `named_model`."""
    parser.add_argument("name", nargs="?", type=kind, metavar="MODEL", help=text)
    parser.add_argument("--model", type=kind, metavar="MODEL", help="the same as MODEL")


def variant_or_file(text: str) -> str:
    """The name of a variant, one on a hub, or a path: of what is there, or with a dot or a folder
    in it."""
    if text in VARIANTS or not {".", "/", os.sep}.isdisjoint(text) or os.path.exists(text):
        return text
    raise argparse.ArgumentTypeError(f"expected {', '.join(VARIANTS)}, or a file; got {text!r}")


def add_trained_model(parser: argparse.ArgumentParser) -> None:
    """A file of a whole model, and names for its classes."""
    parser.add_argument(
        "--model",
        required=True,
        metavar="PATH|hf://OWNER/NAME",
        help="a model.keras, or a checkpoint",
    )
    add_classes(parser)


def add_classes(parser: argparse.ArgumentParser) -> None:
    """Names of classes for a file that has none, see `read_classes` and `given_classes`."""
    parser.add_argument(
        "--classes",
        metavar="NAME|FILE",
        help="class names for a checkpoint that stores none: imagenet, cifar10, or a file with one "
        "name a line, in the order of the outputs",
    )


def given_classes(options: argparse.Namespace) -> list[str] | None:
    """The names that `add_classes` was given; None: none were."""
    from keras_pvt.classification.decoding import named_classes, read_classes

    if options.classes is None:
        return None
    return [name for _, name in named_classes(read_classes(options.classes))]


def add_which(parser: argparse.ArgumentParser) -> None:
    """Which state dict of a file, see `keras_pvt.conversion.read_checkpoint`."""
    parser.add_argument(
        "--which",
        metavar="ema|NAME",
        help="which state dict of a .pth file to read: ema for the averaged one, or a name "
        "(default: the averaged one if there is one)",
    )


def named_model(options: argparse.Namespace) -> str:
    """What `add_named_model` was given.

    Raises:
        ValueError: nothing, or two.
    """
    given = [name for name in (options.name, options.model) if name is not None]
    if len(given) != 1:
        raise ValueError(f"one model is wanted, as MODEL or by --model; got {len(given)}.")
    return given[0]


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which model, which weights, and the size of the crop that it sees."""
    model = parser.add_mutually_exclusive_group()
    model.add_argument(
        "--variant", choices=VARIANTS, default="pvt_tiny", help="variant (default: %(default)s)"
    )
    model.add_argument(
        "--model",
        metavar="PATH|hf://OWNER/NAME",
        help="a model.keras written by keras-pvt train or keras_pvt.save_model, or a checkpoint; "
        "a file, or a repository on a hub",
    )
    parser.add_argument(
        "--weights",
        metavar="NAME|PATH|hf://OWNER/NAME",
        help="weights of the variant: imagenet (the default; cifar10 for pvt_nano), a checkpoint "
        "file, a repository on a hub (with @REVISION, /FILE), or none",
    )
    parser.add_argument(
        "--size",
        type=positive,
        metavar="PIXELS",
        help="side of the centre crop that the model gets (default: as it was trained)",
    )


ENGINES_EPILOG = """\
--engine selects a runtime that replaces Keras on a CPU: litert [tflite], onnxruntime [onnx] or
openvino [openvino]; the extra of keras-pvt to install is in brackets. The model is exported once,
compared with Keras on the first images, and cached; see docs/engines.md. auto, the default, uses
the fastest installed engine, as measured once on this machine. It exports the model only for 32
images or more; for fewer it uses a cached export, or else Keras.
"""


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """What computes, see `wish`."""
    parser.add_argument(
        "--engine",
        choices=table.NAMES,
        default=table.AUTO,
        help="what runs the model: Keras, a runtime for exported models, or the fastest of them "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=table.PRECISIONS,
        default=table.PRECISIONS[0],
        help="numbers that the engine computes in (default: %(default)s)",
    )
    parser.add_argument(
        "--representative",
        type=pathlib.Path,
        metavar="FOLDER",
        help="about 100 typical images, to calibrate int8",
    )


def wish(options: argparse.Namespace, images: int | None) -> Any:
    """What `add_engine_options` was given.

    Args:
        options: of the command line.
        images: how many there are; None: not known, and many.
    Raises:
        ValueError, ImportError: see `keras_pvt.engines.table.check`.
    """
    from keras_pvt.engines.named import Wish

    return Wish(options.engine, options.precision, options.representative, images)


def add_predictor_options(parser: argparse.ArgumentParser) -> None:
    """How `keras_pvt.segmentation.Predictor` goes over an image."""
    add = parser.add_argument
    add(
        "--scales",
        type=factor,
        nargs="+",
        default=[1.0],
        metavar="S",
        help="scale the image by these factors and average the results (default: 1)",
    )
    add("--flip", action="store_true", help="average with the result of the mirrored image")
    add(
        "--mode",
        choices=("auto", "whole", "slide"),
        default="auto",
        help="process the whole image at once, or windows of it; auto: windows if the model has a "
        "fixed size",
    )
    add(
        "--size",
        type=zero_or_more,
        metavar="PIXELS",
        help="scale the shorter side of images to this first; 0: do not scale (default: as in the "
        "model's evaluation)",
    )
    for name, what in (
        ("--window", "size of a window"),
        ("--stride", "distance from window to window"),
    ):
        add(name, type=size, metavar="PIXELS|HxW", help=what)


def predictor_options(options: argparse.Namespace, own_size: int | None) -> dict[str, Any]:
    """What `add_predictor_options` was given, for `Predictor`.

    Args:
        options: of the command line.
        own_size: shorter side that the model was evaluated at; None: that of the images.
    """
    names = ("mode", "window", "stride", "scales", "flip")
    size = own_size if options.size is None else options.size
    return {name: getattr(options, name) for name in names} | {"short_side": size or None}
