"""`keras-pvt profile`: where the time of a training goes."""

import argparse
import contextlib
import json
import sys

from keras_pvt.cli.arguments import positive
from keras_pvt.cli.program import say_backend
from keras_pvt.cli.recipe import LISTED, add_in_memory, add_options, add_recipe
from keras_pvt.recipes import files
from keras_pvt.recipes.flags import overridden
from keras_pvt.registration import register_classes

DESCRIPTION = f"""\
Train some steps by a recipe on one device, and show images/s and where the time goes. Nothing is
kept. RECIPE is your own .toml file, or one of
{LISTED}

`keras-pvt profile RECIPE --help` lists the options of the recipe, which are those of
`keras-pvt train`. A recipe without data is measured on generated images.

The parts of a step, which sum to its time:
  input       waiting for the batch, which threads read and augment, and moving it to the device;
              the mean of training steps
  forward     the loss
  backward    its gradients, and what the forward pass keeps for them
  optimizer   the rest: the update of the weights, and of the metrics in the log
The loss, the loss with its gradients and the whole step are three functions, compiled as in
training. They are timed in turn, on the same batches; medians and their differences are shown."""

EPILOG = """\
examples:
  keras-pvt profile finetune --data flowers
  keras-pvt profile imagenet_pvt_small --generated 1000 --batch-size 32
  keras-pvt profile retinanet_coco_1x --generated 80 --weights none --batch-size 2
  keras-pvt profile retinanet_finetune --data boxes.json --images photos --validation
  keras-pvt profile semantic_fpn_ade20k --generated --weights none --timed 5 --json

docs/training.md says what to do about each part.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add_recipe(parser)
    add("--timed", type=positive, default=20, metavar="N", help="steps to time (default: 20)")
    add(
        "--generated",
        type=positive,
        nargs="?",
        const=0,
        metavar="CLASSES",
        help="measure on generated images of so many classes, instead of data (default: as many as "
        "the recipe says, or 10)",
    )
    add(
        "--validation",
        action="store_true",
        help="also validate, twice, and show the share of validation in a run",
    )
    add_in_memory(parser)
    add("--json", action="store_true", help="write JSON")


add_arguments_for = add_options


def run(options: argparse.Namespace) -> int:
    """Measure; 0 once it is shown."""
    recipe = overridden(files.load(options.recipe), options)
    if options.generated is not None:
        recipe = recipe.replace(data="")
    data = recipe.data or "generated images"
    register_classes()
    from keras_pvt.training import profile

    say_backend()
    with contextlib.redirect_stdout(sys.stderr):  # what is said of the data
        found = profile(
            recipe,
            options.timed,
            validation=options.validation,
            in_memory=options.in_memory,
            classes=options.generated or None,
        )
    if options.json:
        print(json.dumps(_entry(found, data)))
    else:
        print("\n".join(_lines(found, data)))
    return 0


def _entry(found, data: str) -> dict:
    """A profile for JSON."""
    from keras_pvt.ops import BACKEND

    return {
        "system": found.system,
        "variant": found.variant,
        "data": data,
        "backend": BACKEND,
        "precision": found.policy,
        "batch_size": found.batch_size,
        "steps": found.steps,
        "images_per_second": found.images_per_second,
        "seconds": found.seconds,
        "shares": found.shares,
        "input_images_per_second": found.input_images_per_second,
        "compile_seconds": found.compile_seconds,
        "shapes": found.shapes,
        "validation_seconds": found.validation_seconds,
        "validation_share": found.validation_share,
    }


def _lines(found, data: str) -> list[str]:
    """A profile for people."""
    from keras_pvt.ops import BACKEND

    first = (
        f"{found.shapes} shapes of batches, whose first steps took {found.compile_seconds:.1f} s"
        if found.shapes > 1
        else f"the first step took {found.compile_seconds:.1f} s"
    )
    lines = [
        f"{found.system} on {found.variant}, batch {found.batch_size}, on one device by {BACKEND}, "
        f"{found.policy}; {data}",
        f"{found.images_per_second:.4g} images/s, {found.step_seconds * 1000:.4g} ms a step "
        f"({found.steps} steps; {first})",
    ]
    notes = {"input": f"  its threads alone make {found.input_images_per_second:.4g} images/s"}
    for name, share in found.shares.items():
        taken = found.seconds[name] * 1000
        lines.append(f"  {name:<10}{taken:>10.1f} ms{share:>8.1%}{notes.get(name, '')}")
    if found.validation_share is not None:
        lines.append(
            f"a validation takes {found.validation_seconds:.3g} s, after every "
            f"{found.steps_between} steps: {found.validation_share:.1%} of a run"
        )
    return lines
