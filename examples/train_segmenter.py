"""Train Semantic FPN or Trans2Seg with a PVT backbone, by a recipe, on images and label PNGs.

DATA is a folder: train/, train_labels/, val/, val_labels/; or images/training, annotations/training
and the same for validation, as ADE20K comes; or the name of a set of tensorflow-datasets. A label
PNG has the id of each pixel's class; classes.txt may name them, one a line. What is wrong with the
data is listed before training begins.

Written to OUT are the segmenter (segmenter.keras, for `keras-pvt segment`), the log (history.csv),
the curves (curves.png), validation images with true and predicted classes (sheet.png) and the
settings (settings.json). A run that was stopped goes on when the same command is given again, with
the same result as if it had not been.
"""

import argparse
import pathlib
import sys

from keras_pvt.cli.program import exit_status
from keras_pvt.segmentation.recipe import SegmentationRecipe
from keras_pvt.training import recipes
from keras_pvt.training.distribution.selection import NAMES
from keras_pvt.training.flags import add_flags, overridden

EXAMPLES = f"""recipes: {", ".join(recipes.names(SegmentationRecipe))}, or a .toml file of your own

examples:
  python examples/train_segmenter.py semantic_fpn_ade20k --data ade20k --out runs/ade
  python examples/train_segmenter.py semantic_fpn_camvid --data camvid --out runs/camvid
  python examples/train_segmenter.py semantic_fpn_camvid --data camvid --out runs/trans2seg \\
      --system trans2seg --head-width 64 --learning-rate 5e-4
"""


def parse(arguments) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("recipe", metavar="RECIPE", help="name, or a .toml file")
    add("--out", type=pathlib.Path, required=True, help="folder for the results")
    add("--backend-strategy", default="auto", choices=NAMES, help="how devices share the work")
    add("--tensorboard", action="store_true", help="write its logs to OUT too")
    add("--keep", type=int, default=2, metavar="N", help="checkpoints that stay, default 2")
    add("--limit-steps", type=int, default=0, metavar="N",
        help="between two evaluations, to try things out")  # fmt: skip
    add_flags(parser, SegmentationRecipe)
    options = parser.parse_args(arguments)
    if options.keep < 1:
        parser.error(f"--keep must be above 0; got {options.keep}")
    return options


def main(arguments=None) -> int:
    return exit_status(run, parse(arguments))


def run(options: argparse.Namespace) -> None:
    recipe = overridden(recipes.load(options.recipe, SegmentationRecipe), options)
    if not recipe.data:
        raise ValueError("--data is needed: this recipe has none of its own.")

    from keras_pvt.segmentation.train import train
    from keras_pvt.training import distribution

    strategy = distribution.choose(options.backend_strategy)
    results = train(
        recipe,
        options.out,
        strategy,
        tensorboard=options.tensorboard,
        keep=options.keep,
        limit_steps=options.limit_steps,
    )
    strategy.close()
    if strategy.chief:
        shown = ", ".join(f"{name} {value:.4f}" for name, value in results.items())
        print(f"val {shown}; results in {options.out}")


if __name__ == "__main__":
    sys.exit(main())
