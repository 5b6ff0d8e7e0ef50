"""Types of command-line values, and options that several sub-commands share."""

import argparse
import pathlib
from typing import Any

from keras_pvt.variants import VARIANTS


def size(text: str) -> tuple[int, int]:
    """Height and width in pixels, from "224" or "480x640"."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(f"expected pixels, such as 224 or 480x640; got {text!r}")
    return int(sides[0]), int(sides[-1])


def positive(text: str) -> int:
    """An integer of at least 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1; got {text!r}")
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
    """Which images, whether to write JSON, and how many images at once, if that can be chosen."""
    parser.add_argument(
        "images", nargs="+", type=pathlib.Path, metavar="IMAGE|FOLDER", help="files and folders"
    )
    parser.add_argument("--json", action="store_true", help=json)
    if batch_size is not None:
        parser.add_argument(
            "--batch-size",
            type=positive,
            default=batch_size,
            metavar="N",
            help="images that the model gets at once (default: %(default)s)",
        )


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which model, which weights, and the size of the crop that it sees."""
    parser.add_argument(
        "--variant", choices=VARIANTS, default="pvt_tiny", help="model (default: %(default)s)"
    )
    parser.add_argument(
        "--weights",
        metavar="NAME|PATH",
        help="imagenet (cifar10 for pvt_nano), which is the default, or a checkpoint file",
    )
    parser.add_argument(
        "--size",
        type=positive,
        metavar="PIXELS",
        help="side of the centre crop that the model sees (default: as it was trained)",
    )


def add_predictor_options(parser: argparse.ArgumentParser) -> None:
    """How `keras_pvt.segmentation.Predictor` goes over an image."""
    add = parser.add_argument
    add(
        "--scales",
        type=factor,
        nargs="+",
        default=[1.0],
        metavar="S",
        help="factors of the image's size, whose results are averaged (default: 1)",
    )
    add("--flip", action="store_true", help="average with the mirrored image")
    add(
        "--mode",
        choices=("auto", "whole", "slide"),
        default="auto",
        help="all of an image at once, or windows of it; auto: windows for a model of one size",
    )
    add(
        "--short-side",
        type=positive,
        metavar="PIXELS",
        help="resize images to this before (default: as they are)",
    )
    for name, what in (("--window", "of a window"), ("--stride", "from window to window")):
        add(name, type=size, metavar="PIXELS|HxW", help=what)


def predictor_options(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_predictor_options` was given, for `Predictor`."""
    names = ("mode", "short_side", "window", "stride", "scales", "flip")
    return {name: getattr(options, name) for name in names}
