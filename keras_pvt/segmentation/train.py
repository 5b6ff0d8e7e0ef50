"""A segmenter trained by a recipe, from the first step or from where it was stopped."""

import pathlib

import keras

from keras_pvt import systems
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.segmentation.data.augmentation import TrainTransform
from keras_pvt.segmentation.data.batches import SegmentationBatches
from keras_pvt.segmentation.data.opening import open_train_and_val
from keras_pvt.segmentation.data.samples import SegmentationSet
from keras_pvt.segmentation.drawing import draw_sheet
from keras_pvt.segmentation.evaluation import Evaluation, evaluate
from keras_pvt.segmentation.inference import Predictor
from keras_pvt.segmentation.losses import PixelCrossentropy
from keras_pvt.segmentation.metrics import METRICS, PixelAccuracy, metric_names
from keras_pvt.segmentation.models.base import Segmenter
from keras_pvt.segmentation.recipe import SegmentationRecipe
from keras_pvt.segmentation.trained import TrainedSegmenter
from keras_pvt.training import WarmUpCosine, make_optimizer, precision, run_folder
from keras_pvt.training.distribution import Strategy
from keras_pvt.training.run import Run

RESULT = "segmenter.keras"
SHEET_IMAGES = 6
MOST_CURVES = 20  # in one panel
PANELS = {
    "loss": ["loss"],
    "mIoU and pixel accuracy": ["mIoU", "pixel_accuracy", "train_pixel_accuracy"],
    "learning rate": ["learning_rate"],
}


def train(
    recipe: SegmentationRecipe,
    out: pathlib.Path,
    strategy: Strategy,
    *,
    tensorboard: bool = False,
    keep: int = 2,
    limit_steps: int = 0,
) -> dict[str, float]:
    """Train as the recipe says; started again on the same folder, go on after the last evaluation.

    In `out` come to lie: settings.json, history.csv, curves.png and sheet.png, `checkpoints/`, and
    at the end segmenter.keras, of the best evaluation, for `keras-pvt segment`; it takes images of
    0..255. Every process evaluates by itself.

    Args:
        recipe: what to do.
        out: folder of the run, on a disk that all processes share.
        strategy: devices to use.
        tensorboard: write `out`/tensorboard too, which needs TensorFlow.
        keep: checkpoints that stay.
        limit_steps: at most so many steps from one evaluation to the next, to try things out; 0
            is all.
    Returns:
        What `evaluate` finds on the validation split, of the best model.
    Raises:
        ValueError: data, batch and devices, or what lies in `out` do not fit the recipe; or the
            loss shows that nothing will come of it.
        OSError: data cannot be read or `out` not be written.
    """
    batch_size = strategy.check_batch(recipe.batch_size)
    sets = open_train_and_val(recipe.data, recipe.classes or None, recipe.rule)
    with run_folder.alone(out, strategy), strategy.scope():
        if strategy.chief:
            for name, data in zip(("train", "val"), sets, strict=True):
                for line in data.report.lines():
                    print(f"{name}: {line}")
        return _run(recipe, out, strategy, sets, batch_size, tensorboard, keep, limit_steps)


def build(recipe: SegmentationRecipe, classes: int) -> tuple[Segmenter, PVTBackbone]:
    """The segmenter that a recipe describes, and the backbone in it.

    Args:
        recipe: what to build.
        classes: 1 or more.
    """
    return systems.named(recipe.system).load("build")(recipe, classes)


def predictor(recipe: SegmentationRecipe, model: keras.Model, **options) -> Predictor:
    """What evaluates a model as the recipe says.

    Args:
        recipe: has the size of the images.
        model: from `build`.
        options: more of `Predictor`.
    """
    return Predictor(model, short_side=recipe.test_short or None, **options)


def _run(recipe, out, strategy, sets, batch_size, tensorboard, keep, limit_steps):
    data, val = sets
    keras.utils.set_random_seed(recipe.seed)
    policy = precision.use(recipe.mixed_precision)
    model, backbone = build(recipe, len(data.classes))
    whole = strategy.replicate(model)
    whole.compile(
        _optimizer(recipe, model, backbone),
        loss=PixelCrossentropy(mean_over=recipe.loss_mean),
        metrics=[PixelAccuracy(name="train_pixel_accuracy")],
    )
    run = Run(recipe, out, strategy, model, whole, data.classes, "mIoU", keep)
    run.announce(
        f"{recipe.system} on {recipe.variant}, {len(data)} images of {len(data.classes)} classes, "
        f"{len(val)} to validate on; {recipe.steps} steps of {recipe.batch_size} images",
        policy,
    )
    steps = min(limit_steps or recipe.evaluate_every, recipe.evaluate_every)
    measuring = predictor(recipe, model)
    run.fit(
        SegmentationBatches(
            data,
            batch_size,
            _transform(recipe),
            seed=recipe.seed,
            first_epoch=run.done,
            steps=recipe.evaluate_every,
            shard=(strategy.process, strategy.processes),
        ),
        recipe.epochs,
        steps,
        measures=[Evaluation(measuring, val, recipe.epochs)],
        tensorboard=tensorboard,
    )
    of_classes = metric_names(data.classes)[len(METRICS) :]
    run.draw(PANELS | ({"IoU": of_classes} if len(of_classes) <= MOST_CURVES else {}))
    run.take_best()
    run.save(RESULT, lambda bare, path: TrainedSegmenter(bare, data.classes).save(path))
    if strategy.chief:
        _draw_sheet(measuring, val, out / "sheet.png")
    return evaluate(measuring, val)


def _optimizer(recipe, model, backbone):
    if recipe.schedule == "poly":
        rate = keras.optimizers.schedules.PolynomialDecay(
            recipe.learning_rate, recipe.steps, recipe.end_rate, power=0.9
        )
    else:
        rate = WarmUpCosine(
            recipe.learning_rate, round(recipe.warm_up), recipe.steps, recipe.end_rate
        )
    inside = {variable.path for variable in backbone.trainable_variables}
    factors = {
        variable.path: recipe.head_rate
        for variable in model.trainable_variables
        if variable.path not in inside
    }
    return make_optimizer(
        recipe.optimizer,
        model,
        rate,
        recipe.weight_decay,
        not_muon=["^logits/"],
        clip_norm=recipe.clip_norm or None,
        accumulate=recipe.accumulate,
        decay_all=recipe.decay_all,
        factors=factors if recipe.head_rate != 1 else None,
    )


def _transform(recipe):
    return TrainTransform(
        (recipe.crop_height, recipe.crop_width),
        recipe.base,
        (recipe.smallest_scale, recipe.largest_scale),
        flip=0.5 if recipe.flip else 0.0,
        photometric=recipe.distortion,
        max_share=recipe.max_share,
    )


def _draw_sheet(measuring: Predictor, val: SegmentationSet, path: pathlib.Path) -> None:
    """Some images of the set, evenly spread over it."""
    step = max(1, len(val) // SHEET_IMAGES)
    samples = []
    for number in range(0, len(val), step)[:SHEET_IMAGES]:
        image = val.image(number)
        samples.append((image, val.labels(number), measuring.labels(image)))
    draw_sheet(samples, val.classes, path)
