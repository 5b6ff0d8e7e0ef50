"""Train a detector with a PVT backbone, by a recipe, on images with boxes, or with masks.

The detector is RetinaNet, Mask R-CNN or DETR of this package, or the RetinaNet of keras-cv or
KerasHub. DATA is a JSON file in COCO's format, or the name of a set of tensorflow-datasets. What is
wrong with it is listed and left out.

Written to OUT are the detector (detector.keras, for `keras-pvt detect`), the log (history.csv), the
curves (curves.png), validation images with what is true and what is found (sheet.png) and the
settings (settings.json). A run that was stopped goes on at its last whole epoch when the same
command is given again, with the same result as if it had not been.
"""

import argparse
import pathlib
import sys

from keras_pvt.cli.program import exit_status
from keras_pvt.detection.recipe import DetectionRecipe
from keras_pvt.training import recipes
from keras_pvt.training.distribution.selection import NAMES
from keras_pvt.training.flags import add_flags, overridden

EXAMPLES = f"""recipes: {", ".join(recipes.names(DetectionRecipe))}, or a .toml file of your own

examples:
  python examples/train_detector.py retinanet_coco_1x --out runs/retinanet
  python examples/train_detector.py mask_rcnn_coco_1x --data annotations/instances_train2017.json \\
      --images train2017 --val-data annotations/instances_val2017.json --val-images val2017 \\
      --out runs/mask_rcnn
  python examples/train_detector.py detr_bccd --data train.json --val-data val.json \\
      --images images --out runs/detr
  python examples/train_detector.py retinanet_bccd --library keras_hub --data voc/2007 \\
      --canvas-height 320 --canvas-width 320 --anchor-size 32 --out runs/voc
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
    add("--limit-steps", type=int, default=0, metavar="N", help="of an epoch, to try things out")
    add_flags(parser, DetectionRecipe)
    options = parser.parse_args(arguments)
    if options.keep < 1:
        parser.error(f"--keep must be above 0; got {options.keep}")
    return options


def main(arguments=None) -> int:
    return exit_status(run, parse(arguments))


def run(options: argparse.Namespace) -> None:
    recipe = overridden(recipes.load(options.recipe, DetectionRecipe), options)
    if not recipe.data:
        raise ValueError("--data is needed: this recipe has none of its own.")

    from keras_pvt.detection.evaluation import MASK_METRICS, METRICS
    from keras_pvt.detection.train import train
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
        names = [name for name in (*METRICS[:3], *MASK_METRICS[:3]) if name in results]
        shown = ", ".join(f"{name} {results[name]:.3f}" for name in names)
        print(f"val {shown}; results in {options.out}")


if __name__ == "__main__":
    sys.exit(main())
