"""Training of segmenters."""

import pathlib

import keras

from keras_pvt.models.trained_model import RESULT
from keras_pvt.recipes.segmentation import SegmentationRecipe
from keras_pvt.segmentation.data.augmentation import TrainTransform
from keras_pvt.segmentation.data.batches import SegmentationBatches
from keras_pvt.segmentation.data.checking import lines_on_classes
from keras_pvt.segmentation.data.opening import open_train_and_val
from keras_pvt.segmentation.data.samples import LabelRule, SegmentationSet
from keras_pvt.segmentation.drawing import draw_sheet
from keras_pvt.segmentation.evaluation import evaluate
from keras_pvt.segmentation.inference import Predictor
from keras_pvt.segmentation.losses import PixelCrossentropy
from keras_pvt.segmentation.metrics import METRICS, PixelAccuracy, metric_names
from keras_pvt.segmentation.trained import TrainedSegmenter
from keras_pvt.training import WarmUpCosine
from keras_pvt.training.data.opening import fetch
from keras_pvt.training.trainer import Trainer

SHEET_IMAGES = 6
MOST_CURVES = 20  # in one panel
PANELS = {
    "loss": ["loss"],
    "mIoU and pixel accuracy": ["mIoU", "pixel_accuracy", "train_pixel_accuracy"],
    "learning rate": ["learning_rate"],
}


class SegmentationTrainer(Trainer):
    """Trains a segmenter. An epoch lasts from one evaluation to the next. Every process evaluates
    by itself.

    Writes to `out`: settings.json, history.csv, curves.png, sheet.png and `checkpoints/`, and at
    the end model.keras, with the weights of the best evaluation, for `keras-pvt segment`. That
    model takes images of 0..255.
    """

    monitor = "mIoU"
    passes = False
    data: SegmentationSet
    val: SegmentationSet
    measuring: Predictor

    def fetch(self):
        fetch(self.recipe.data)

    def open(self, in_memory):
        recipe = self.recipe
        self.data, self.val = open_train_and_val(
            recipe.data,
            recipe.classes or None,
            LabelRule(recipe.ignored, recipe.reduce_zero),
            val_split=recipe.val_split,
            seed=recipe.seed,
        )
        if self.strategy.chief:
            if self.val.pairs is self.data.pairs:
                print(
                    f"{recipe.data} has no images to validate on: {recipe.val_split:.0%} of all "
                    f"are taken for it, drawn by seed {recipe.seed} (--val-split)"
                )
            for name, data in (("train", self.data), ("val", self.val)):
                for line in data.report.lines():
                    print(f"{name}: {line}")
            for line in lines_on_classes(self.data):
                print(f"train: {line}")
        return len(self.data), len(self.val)

    @property
    def classes(self):
        return self.data.classes

    def steps(self, images):
        return self.recipe.evaluate_every

    def length(self, steps):
        return f"{self.recipe.steps} steps"

    def compiled(self, steps):
        model, backbone = self.build()
        self.measuring = predictor(self.recipe, model)
        recipe = self.recipe
        inside = {variable.path for variable in backbone.trainable_variables}
        factors = {
            variable.path: recipe.head_rate
            for variable in model.trainable_variables
            if variable.path not in inside
        }
        optimizer = self.optimizer(
            model,
            learning_rate(recipe),
            not_muon=["^logits/"],
            decay_all=recipe.decay_all,
            decay_norms=recipe.decay_norms,
            factors=factors if recipe.head_rate != 1 else None,
        )
        whole = self.strategy.replicate(model)
        whole.compile(
            optimizer,
            loss=PixelCrossentropy(mean_over=self.recipe.loss_mean),
            metrics=[PixelAccuracy(name="train_pixel_accuracy")],
        )
        return model, whole

    def batches(self, batch_size, done):
        return SegmentationBatches(
            self.data,
            batch_size,
            _transform(self.recipe),
            seed=self.recipe.seed,
            first_epoch=done,
            steps=self.recipe.evaluate_every,
            shard=(self.strategy.process, self.strategy.processes),
        )

    def measure(self, whole, batch_size):
        # Of two bars at once, rich draws none: the run has one.
        return evaluate(self.measuring, self.val, progress=False)

    def panels(self, rows):
        of_classes = metric_names(self.data.classes)[len(METRICS) :]
        return PANELS | ({"IoU": of_classes} if len(of_classes) <= MOST_CURVES else {})

    def finish(self, run, batch_size):
        best = run.take_best()
        classes, size = self.data.classes, self.measuring.short_side
        run.save(RESULT, lambda bare, path: TrainedSegmenter(bare, classes, size).save(path))
        if self.strategy.chief:
            _draw_sheet(self.measuring, self.val, self.out / "sheet.png")
        measured, names = run.results(best), metric_names(classes)
        return {name: measured[name] for name in names}


def predictor(recipe: SegmentationRecipe, model: keras.Model, **options) -> Predictor:
    """What evaluates a model as the recipe says.

    Args:
        recipe: has the size of the images.
        model: from `build`.
        options: more of `Predictor`.
    """
    return Predictor(model, short_side=recipe.evaluate_size or None, **options)


def learning_rate(
    recipe: SegmentationRecipe,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The schedule of the whole run."""
    if recipe.schedule == "poly":
        return keras.optimizers.schedules.PolynomialDecay(
            recipe.learning_rate, recipe.steps, recipe.end_rate, power=0.9
        )
    warm_up = round(recipe.warm_up * recipe.evaluate_every)
    return WarmUpCosine(recipe.learning_rate, warm_up, recipe.steps, recipe.end_rate)


def _transform(recipe):
    return TrainTransform(
        recipe.sides(),
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
