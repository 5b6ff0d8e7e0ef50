"""`keras-pvt train`: a classifier, a detector or a segmenter by a recipe."""

import argparse
import os
import pathlib
import re
import sys

from keras_pvt.cli.program import say_backend
from keras_pvt.cli.recipe import LISTED, add_in_memory, add_options, add_recipe
from keras_pvt.recipes import files
from keras_pvt.recipes.flags import overridden
from keras_pvt.registration import register_classes
from keras_pvt.strategies import NAMES
from keras_pvt.systems import SYSTEMS

DESCRIPTION = f"""\
Train a PVT classifier, detector or segmenter. RECIPE is your own .toml file, or one of
{LISTED}

`keras-pvt train RECIPE --help` lists the options of a recipe with their values; each can be
changed on the command line. `keras-pvt train RECIPE --show` prints the recipe with all its values.

DATA depends on the task:
  classifier  a folder with CLASS/*, or with train/CLASS/* and val/CLASS/*
  detector    a JSON file in COCO's format, or a folder of Pascal VOC, YOLO, LabelMe, CVAT, Label
              Studio, Supervisely, Roboflow or COCO
  segmenter   a folder with images/ and masks/; with train/, train_labels/, val/ and val_labels/;
              with train/images/ and train/masks/; or in the layout of Pascal VOC, Cityscapes or
              ADE20K
For each task it may also be the name of a data set of tensorflow-datasets. `keras-pvt data DATA`
inspects a data set; docs/data.md lists all formats.

Rerun the same command to resume a killed run; the result is bit-identical. To train a finished run
for longer, use --extend."""

EPILOG = """\
examples:
  keras-pvt train finetune --data flowers --out runs/flowers
  keras-pvt train finetune --data flowers --out runs/small --variant pvt_small
  keras-pvt train retinanet_finetune --data boxes.json --images photos --out runs/boxes
  keras-pvt train retinanet_finetune --data yolo/data.yaml --out runs/boxes
  keras-pvt train semantic_fpn_finetune --data street --out runs/street
  keras-pvt train finetune --data flowers --out runs/flowers --epochs 40 --extend
  keras-pvt train mask_rcnn_coco_1x --data annotations/instances_train2017.json \\
      --images train2017 --val-data annotations/instances_val2017.json --val-images val2017
  keras-pvt train semantic_fpn_ade20k --data ADEChallengeData2016 --out runs/ade
  torchrun --nproc-per-node 8 -m keras_pvt.cli train imagenet_pvt_small --data imagenet

docs/training.md describes the recipes and training on several devices. docs/detection.md and
docs/segmentation.md describe how to train detectors and segmenters.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_recipe(parser)
    add("--out", type=pathlib.Path, help="folder for the results (default: runs/RECIPE)")
    add("--show", action="store_true", help="print the recipe with all its values, and exit")
    add(
        "--backend-strategy",
        default="auto",
        choices=NAMES,
        help="how devices share the work (default: auto, use all devices)",
    )
    add_in_memory(parser)
    add("--tensorboard", action="store_true", help="also write TensorBoard logs to OUT")
    add("--keep", type=int, default=2, metavar="N", help="checkpoints to keep (default: 2)")
    add(
        "--limit-steps", type=int, default=0, metavar="N", help="steps of an epoch, for a trial run"
    )
    add(
        "--extend",
        action="store_true",
        help="train the run in OUT for longer, up to --epochs (for a segmenter, --steps); "
        "docs/training.md explains the learning rate",
    )


add_arguments_for = add_options


def run(options: argparse.Namespace) -> int:
    """Train; 0 once the results are written."""
    recipe = overridden(files.load(options.recipe), options)
    if options.show:
        print(files.as_toml(recipe), end="")
        return 0
    if options.keep < 1:
        raise ValueError(f"--keep must be above 0; got {options.keep}.")
    register_classes()
    from keras_pvt.models.trained_model import RESULT, VERBS
    from keras_pvt.training import distribution, trainer

    out = options.out or pathlib.Path("runs", pathlib.Path(options.recipe).stem)
    system = SYSTEMS[recipe.system]
    strategy = distribution.choose(options.backend_strategy)
    if strategy.chief:
        say_backend(strategy.devices)
    try:
        results = trainer.train(
            recipe,
            out,
            strategy,
            in_memory=options.in_memory,
            tensorboard=options.tensorboard,
            keep=options.keep,
            limit_steps=options.limit_steps,
            extend=options.extend,
        )
    except Exception as error:
        if strategy.processes == 1:
            raise
        _leave(error, strategy)
    strategy.close()
    if strategy.chief:
        shown = (f"val {name.replace('_', ' ')} {value:.4f}" for name, value in results.items())
        print(", ".join(shown))
        verb, file = VERBS[system.task], out / RESULT
        print(f"results in {out}; to use them: keras-pvt {verb} IMAGE --model {file}")
    return 0


def _leave(error: Exception, strategy) -> None:
    """End this process of several, without a farewell that waits for those that are gone."""
    reason = " ".join(str(error).split())
    ours = isinstance(error, ValueError | OSError | ImportError)
    if not ours or re.match("[A-Z_]+: ", reason):  # of an engine, whose errors begin with a code
        reason = (
            "another process has ended, or cannot be reached; rerun the command in all processes "
            f"to resume after the last whole epoch ({reason[:200]})"
        )
    where = f"process {strategy.process} of {strategy.processes}"
    print(f"error in {where}: {reason}", file=sys.stderr, flush=True)
    os._exit(1)
