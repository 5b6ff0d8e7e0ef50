"""`keras-pvt train`: a classifier by a recipe."""

import argparse
import os
import pathlib
import re
import sys

from keras_pvt.training import recipes
from keras_pvt.training.distribution.selection import NAMES
from keras_pvt.training.flags import add_flags, overridden
from keras_pvt.training.recipe import Recipe

DESCRIPTION = f"""\
Train a PVT classifier. RECIPE is one of {", ".join(recipes.names(Recipe))},
or a .toml file of your own; every option of a recipe can be given here instead.

DATA is a folder with train/CLASS/* and val/CLASS/*, or the name of a set of tensorflow-datasets.
A run that was stopped, at whatever moment, goes on when the same command is given again, with the
same result as if it had not been."""

EPILOG = """\
examples:
  keras-pvt train cifar10_pvt_nano --data cifar10 --out runs/nano
  keras-pvt train finetune --data flowers --out runs/flowers --variant pvt_small
  keras-pvt train imagenet_pvt_tiny --data imagenet2012 --out runs/tiny --batch-size 512
  torchrun --nproc-per-node 8 -m keras_pvt.cli train imagenet_pvt_small --data imagenet --out runs/s

docs/training.md has the recipes, TPU pods, and what to do on one small computer.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="name, or a .toml file")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the results")
    parser.add_argument(
        "--backend-strategy",
        default="auto",
        choices=NAMES,
        help="how devices share the work (default: all there are)",
    )
    parser.add_argument("--in-memory", action="store_true", help="decode all images once")
    parser.add_argument("--tensorboard", action="store_true", help="write its logs to OUT too")
    parser.add_argument("--keep", type=int, default=2, metavar="N", help="checkpoints (default 2)")
    parser.add_argument(
        "--limit-steps", type=int, default=0, metavar="N", help="of an epoch, to try things out"
    )
    add_flags(parser, Recipe)


def run(options: argparse.Namespace) -> int:
    """Train; 0 once the results are written."""
    from keras_pvt.training import distribution
    from keras_pvt.training.classification import train

    recipe = overridden(recipes.load(options.recipe, Recipe), options)
    if not recipe.data:
        raise ValueError("--data is needed: this recipe has none of its own.")
    if options.keep < 1:
        raise ValueError(f"--keep must be above 0; got {options.keep}.")
    strategy = distribution.choose(options.backend_strategy)
    try:
        results = train(
            recipe,
            options.out,
            strategy,
            in_memory=options.in_memory,
            tensorboard=options.tensorboard,
            keep=options.keep,
            limit_steps=options.limit_steps,
        )
    except Exception as error:
        if strategy.processes == 1:
            raise
        _leave(error, strategy)
    strategy.close()
    if strategy.chief:
        shown = ", ".join(
            f"{name.replace('_', ' ')} {value:.4f}" for name, value in results.items()
        )
        print(f"{shown}; results in {options.out}")
    return 0


def _leave(error: Exception, strategy) -> None:
    """End this process of several, without a farewell that waits for those that are gone."""
    reason = " ".join(str(error).split())
    ours = isinstance(error, ValueError | OSError | ImportError)
    if not ours or re.match("[A-Z_]+: ", reason):  # of an engine, whose errors begin with a code
        reason = (
            "another process has ended, or cannot be reached; give the command again in all "
            f"processes, and they go on after the last whole epoch ({reason[:200]})"
        )
    where = f"process {strategy.process} of {strategy.processes}"
    print(f"error in {where}: {reason}", file=sys.stderr, flush=True)
    os._exit(1)
