"""A detector trained by a recipe, from the first step or from where it was stopped."""

import dataclasses
import pathlib

import keras

from keras_pvt.detection.data.batches import DetectionBatches
from keras_pvt.detection.data.coco import load_coco
from keras_pvt.detection.data.samples import DetectionSet
from keras_pvt.detection.data.tfds import as_coco
from keras_pvt.detection.drawing import draw_sheet
from keras_pvt.detection.evaluation import MASK_METRICS, METRICS, Evaluation
from keras_pvt.detection.libraries import best_possible_recall, without_input_warning
from keras_pvt.detection.recipe import DetectionRecipe
from keras_pvt.detection.systems import build, label_key
from keras_pvt.training import WarmUpCosine, WarmUpSteps, make_optimizer, precision, run_folder
from keras_pvt.training.distribution import Strategy
from keras_pvt.training.log import read_history
from keras_pvt.training.run import Run

RESULT = "detector.keras"
SHEET_IMAGES = 6
MIN_SIDE = 32  # of a training image in pixels; what is smaller shows nothing in stage 4
POOR_FIT = 0.95  # share of boxes with an anchor below which the user is told


def train(
    recipe: DetectionRecipe,
    out: pathlib.Path,
    strategy: Strategy,
    *,
    tensorboard: bool = False,
    keep: int = 2,
    limit_steps: int = 0,
) -> dict[str, float]:
    """Train as the recipe says; started again on the same folder, go on after the last epoch.

    In `out` come to lie: settings.json, history.csv, curves.png and sheet.png, `checkpoints/`, and
    at the end detector.keras, for `keras-pvt detect`. Every process evaluates by itself.

    Args:
        recipe: what to do.
        out: folder of the run, on a disk that all processes share.
        strategy: devices to use.
        tensorboard: write `out`/tensorboard too, which needs TensorFlow.
        keep: checkpoints that stay.
        limit_steps: at most so many steps in an epoch, to try things out; 0 is all.
    Returns:
        The last row of the log, which has COCO's average precision on the validation set.
    Raises:
        ValueError: data, batch and devices, or what lies in `out` do not fit the recipe; or the
            loss shows that nothing will come of it.
        OSError: data cannot be read or `out` not be written.
        ImportError: a library that is needed is not installed.
    """
    batch_size = strategy.check_batch(recipe.batch_size)
    data, val = load_data(recipe, out, strategy.chief)
    steps = len(data.samples) // recipe.batch_size
    if not steps:
        raise ValueError(
            f"{len(data.samples)} training images make no batch of {recipe.batch_size}"
        )
    with run_folder.alone(out, strategy), strategy.scope():
        return _run(
            recipe,
            out,
            strategy,
            (data, val),
            batch_size,
            (steps, min(limit_steps or steps, steps)),
            tensorboard,
            keep,
        )


def load_data(
    recipe: DetectionRecipe, out: pathlib.Path, verbose: bool = True
) -> tuple[DetectionSet, DetectionSet]:
    """The training and the validation set; what is wrong with them is printed if wanted.

    Raises:
        ValueError: no set to validate on; nothing left to train on; see `load_coco`.
        OSError: a file that cannot be read.
    """
    if recipe.data.endswith(".json") and not recipe.val_data:
        raise ValueError("--val-data is needed, as a JSON file has no validation split")
    parts = (
        ("train", recipe.data, recipe.images),
        ("validation", recipe.val_data or recipe.data, recipe.val_images or recipe.images),
    )
    sets: list[DetectionSet] = []
    for split, name, images in parts:
        file, folder = pathlib.Path(name), pathlib.Path(images or pathlib.Path(name).parent)
        if not name.endswith(".json"):
            file, folder = as_coco(name, split, out / "data")
        classes = sets[0].classes if sets else None
        data = load_coco(file, folder, classes, recipe.with_masks)
        if split == "train":
            data = dataclasses.replace(
                data, samples=[one for one in data.samples if _usable(one, recipe.background)]
            )
        sets.append(data)
        if verbose:
            boxes = sum(len(one.boxes) for one in data.samples)
            print(f"{split}: {len(data.samples)} images with {boxes} boxes of "
                  f"{len(data.classes)} classes")  # fmt: skip
            for line in data.report.lines():
                print(f"  {line}")
    return sets[0], sets[1]


def _usable(sample, background: bool) -> bool:
    large = min(sample.height, sample.width) >= MIN_SIDE
    return large and (background or not sample.crowd.all())


def _run(recipe, out, strategy, sets, batch_size, steps, tensorboard, keep):
    data, val = sets
    keras.utils.set_random_seed(recipe.seed)
    policy = precision.use(recipe.mixed_precision)
    detector, backbone, losses = build(recipe, data.classes)
    _warn_of_low_recall(recipe, strategy, detector, data)
    whole = strategy.replicate(detector.model)
    whole.compile(optimizer=_optimizer(recipe, detector.model, backbone, steps[0]), **losses)
    run = Run(
        recipe, out, strategy, detector.model, whole, data.classes, METRICS[0], keep, guessing=False
    )
    run.announce(
        f"{recipe.model} of {recipe.library} on {recipe.variant}, {len(data.samples)} images, "
        f"{len(val.samples)} to validate on; {recipe.epochs} epochs of {steps[0]} steps of "
        f"{recipe.batch_size} images",
        policy,
    )
    batches = DetectionBatches(
        data,
        batch_size,
        recipe.augmentation,
        seed=recipe.seed,
        first_epoch=run.done,
        label_key=label_key(recipe),
        sizes=recipe.own,
        named=recipe.model == "detr",
        masks=recipe.with_masks,
        grouped=recipe.canvas is None,
        shard=(strategy.process, strategy.processes),
    )
    evaluation = Evaluation(
        detector, val, batch_size, recipe.epochs, recipe.evaluate_every, recipe.with_masks
    )
    with without_input_warning():
        run.fit(batches, recipe.epochs, steps[1], measures=[evaluation], tensorboard=tensorboard)
    rows = read_history(run.history)
    shown = {"loss": [name for name in rows[0] if name.endswith("loss")]}
    shown["average precision, val"] = list(METRICS[:3])
    if recipe.with_masks:
        shown["average precision of masks, val"] = list(MASK_METRICS[:3])
    run.draw(shown)
    run.save(RESULT, lambda bare, path: dataclasses.replace(detector, model=bare).save(path))
    if strategy.chief:
        draw_sheet(detector, val.samples[:SHEET_IMAGES], out / "sheet.png", batch_size)
    return rows[-1]


def _warn_of_low_recall(recipe, strategy, detector, data) -> None:
    if recipe.own or not strategy.chief:  # ours give every box its best anchor
        return
    for name, share in best_possible_recall(detector.model, data, detector.size).items():
        if share < POOR_FIT:
            print(f"only {share:.0%} of the boxes of {name} fit an anchor: the others are not "
                  "learnt; try another --anchor-size or canvas")  # fmt: skip


def _optimizer(recipe, model, backbone, steps):
    warm_up = round(recipe.warm_up)
    rate: keras.optimizers.schedules.LearningRateSchedule
    if recipe.schedule == "step":
        drops = [epoch * steps for epoch in recipe.drop_epochs]
        rate = WarmUpSteps(recipe.learning_rate, drops, warm_up)
    else:
        total = recipe.epochs * steps
        rate = WarmUpCosine(recipe.learning_rate, warm_up, total, recipe.end_rate)
    factors = {
        variable.path: recipe.backbone_rate
        for variable in backbone.trainable_variables
        if recipe.backbone_rate != 1
    }
    return make_optimizer(
        recipe.optimizer,
        model,
        rate,
        recipe.weight_decay,
        clip_norm=recipe.clip_norm or None,
        accumulate=recipe.accumulate,
        decay_all=recipe.decay_all,
        factors=factors or None,
    )
