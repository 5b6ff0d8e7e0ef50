"""The command `keras-pvt`: a module for each sub-command."""

import argparse
import os

import keras_pvt
from keras_pvt.cli import attention, convert, detect, export, info, predict, segment, train
from keras_pvt.cli.program import exit_status

EPILOG = """\
examples:
  keras-pvt predict photo.jpg
  keras-pvt predict photos/ --json > predictions.jsonl
  keras-pvt detect photos/ --model detector.keras
  keras-pvt segment street.jpg --model segmenter.keras
  keras-pvt info pvt_small --size 512x512
  keras-pvt attention photo.jpg --out attention.png
  keras-pvt export pvt_tiny --format tflite
  keras-pvt train finetune --data flowers --out runs/flowers

The environment variable KERAS_BACKEND (jax, tensorflow or torch) chooses the library that
computes; it has to be installed, as by pip install 'keras-pvt[jax]'.
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: words of the command line, without the command; by default the process's.
    Returns:
        Exit status: 0, or 1 after an error, which is one line on stderr. Wrong usage exits
        with 2 by itself.
    """
    options = _parser().parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow greets on stderr
    return exit_status(options.run, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "keras-pvt",
        description="Pyramid Vision Transformer: classify images, find objects, name pixels, "
        "train, export.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {keras_pvt.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (predict, detect, segment, attention, info, convert, export, train):
        module.add_parser(commands)
    return parser
