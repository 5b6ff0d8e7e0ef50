"""Types of command-line values, and options that several sub-commands share."""

import argparse

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
