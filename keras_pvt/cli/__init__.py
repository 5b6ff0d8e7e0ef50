"""The command `keras-pvt`: a module for each sub-command.

A command is a line of `COMMANDS` and a module of its name here, which has

    DESCRIPTION, EPILOG     what `keras-pvt NAME --help` says above and below the options
    add_arguments(parser)   declares arguments and options
    add_arguments_for(parser, words)   where there is one, those that depend on the words
                            that follow NAME
    run(options)            does the work; gives the exit status

`keras-pvt --help` imports none of these modules, and the rest only the chosen one. At their top
they import the standard library and what needs no Keras itself, such as `keras_pvt.variants`, so
that help and wrong usage show at once; what else they need they import in `run`.
"""

import argparse
import functools
import importlib
import os
import sys

import keras_pvt
from keras_pvt.cli.program import add_traceback_option, exit_status, start_keras

COMMANDS = {
    "predict": "classify images or videos",
    "detect": "find objects in images or videos",
    "segment": "find the class of each pixel",
    "batch": "classify, embed, detect or segment millions of images, resumably",
    "attention": "draw the attention of the class token or of a pixel",
    "info": "show the parameters, GFLOPs and shapes of a model, or describe a file",
    "convert": "convert a checkpoint file",
    "export": "export a model to SavedModel, TFLite, ONNX or OpenVINO",
    "data": "inspect a data set: format, classes, sizes, problems; draw samples",
    "train": "train a classifier, a detector or a segmenter",
    "profile": "measure where the time of a training goes",
    "evaluate": "measure a model or an exported artifact on a data set",
    "app": "open a page in the browser: drop images, see predictions",
}
# Commands that work without Keras, or start it where they need it. All others find every class
# registered when they run.
WITHOUT_KERAS = ("data", "info", "predict", "profile", "train")

EPILOG = """\
examples:
  keras-pvt predict photo.jpg
  keras-pvt predict photos/ --json > predictions.jsonl
  keras-pvt detect photos/ --model model.keras
  keras-pvt segment street.jpg --model model.keras
  keras-pvt batch classify photos/ --out results/ --variant pvt_small
  keras-pvt info pvt_small --size 512x512
  keras-pvt attention photo.jpg --out attention.png
  keras-pvt export pvt_tiny --format tflite
  keras-pvt data photos/
  keras-pvt train finetune --data flowers --out runs/flowers
  keras-pvt profile finetune --data flowers
  keras-pvt evaluate runs/flowers/model.keras flowers
  keras-pvt app runs/flowers/model.keras

environment variables:
  KERAS_BACKEND            the backend: jax, tensorflow or torch. If it is not set, the backend in
                           ~/.keras/keras.json is used. If that is tensorflow (which Keras writes
                           there by default) or missing, the first installed one of TensorFlow,
                           JAX and PyTorch is used. On a terminal the first line names the backend.
  KERAS_PVT_TRACEBACK=1    the same as --traceback
  KERAS_PVT_ENGINES_GIB=2  limit of the cache of exported models for --engine, in GiB
"""


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: words of the command line, without the command; by default the process's.
    Returns:
        Exit status: 0, or 1 after an error, which is one line on stderr. Wrong usage exits
        with 2 by itself.
    """
    words = sys.argv[1:] if arguments is None else arguments
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow greets on stderr
    # An error can come before there are options, from what the parser imports.
    options = argparse.Namespace(traceback="--traceback" in words)
    return exit_status(functools.partial(_run, words), options)


def _run(words: list[str], options: argparse.Namespace) -> int:
    parser = _parser(words)
    if not words:
        parser.exit(2, parser.format_help())  # on stderr, as any wrong usage
    parser.parse_args(words, options)
    if options.command not in WITHOUT_KERAS:
        start_keras()
    return options.run(options)


def _parser(words: list[str]) -> argparse.ArgumentParser:
    """The parser, with the options of the command that the words name."""
    parser = argparse.ArgumentParser(
        "keras-pvt",
        description="Pyramid Vision Transformer: classification, detection, segmentation, "
        "training, export.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {keras_pvt.__version__}")
    add_traceback_option(parser)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", dest="command", required=True
    )
    # The options before a command take no values.
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, line in COMMANDS.items():
        command = commands.add_parser(
            name, help=line, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == chosen:
            module = importlib.import_module(f"keras_pvt.cli.{name}")
            command.description, command.epilog = module.DESCRIPTION, module.EPILOG
            module.add_arguments(command)
            if hasattr(module, "add_arguments_for"):
                module.add_arguments_for(command, words[words.index(name) + 1 :])
            add_traceback_option(command)
            command.set_defaults(run=module.run)
    return parser
