"""Training of classifiers."""

import functools
import pathlib

import keras

from keras_pvt.models.trained_model import RESULT, TrainedModel
from keras_pvt.training import augmentation, distillation
from keras_pvt.training.callbacks import AveragedWeights
from keras_pvt.training.data import ImageBatches, Images, InMemory, open_train_and_val
from keras_pvt.training.data.opening import fetch
from keras_pvt.training.data.split import Part
from keras_pvt.training.run import Run
from keras_pvt.training.schedule import OfficialCosine, WarmUpCosine
from keras_pvt.training.trainer import Trainer
from keras_pvt.utils.data_report import DataReport

PANELS = {
    "loss": ["loss", "val_loss"],
    "accuracy": ["accuracy", "val_accuracy"],
    "learning rate": ["learning_rate"],
}


class ClassificationTrainer(Trainer):
    """Trains a classifier.

    Writes to `out`: settings.json, history.csv, curves.png and `checkpoints/`, and at the end
    model.keras and best.keras. These models give logits, and take images normalised by
    `preprocess_input`.
    """

    monitor = "val_accuracy"
    holds = True
    images: Images
    val_images: Images

    def fetch(self):
        fetch(self.recipe.data)

    def open(self, in_memory):
        recipe, report = self.recipe, DataReport()
        self.images, self.val_images = open_train_and_val(
            recipe.data, val_split=recipe.val_split, seed=recipe.seed, report=report
        )
        if self.strategy.chief:
            for line in report.lines():
                print(line)
            if isinstance(self.val_images, Part):
                print(
                    f"{recipe.data} has no images to validate on: {recipe.val_split:.0%} of each "
                    f"class are taken for it, drawn by seed {recipe.seed} (--val-split)"
                )
        if in_memory:
            self.images, self.val_images = InMemory(self.images), InMemory(self.val_images)
        return len(self.images), len(self.val_images)

    @property
    def classes(self):
        return self.images.classes

    def compiled(self, steps):
        recipe = self.recipe
        classes = len(self.classes)
        model, _ = self.build()
        optimizer = self.optimizer(
            model,
            learning_rate(recipe, steps),
            not_muon=["^head/"],
            ema=recipe.ema,
            layer_decay=recipe.layer_decay,
            frozen_steps=round(recipe.frozen_epochs * steps),
        )
        whole = self.strategy.replicate(_with_teacher(recipe, model))
        metrics = [keras.metrics.CategoricalAccuracy(name="accuracy")]
        if classes > 5:
            metrics.append(keras.metrics.TopKCategoricalAccuracy(5, name="top5_accuracy"))
        whole.compile(
            optimizer,
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            weighted_metrics=metrics,  # weights of 0 fill up the last validation batch
        )
        return model, whole

    def batches(self, batch_size, done):
        recipe = self.recipe
        return ImageBatches(
            self.images,
            batch_size,
            augmentation.TrainTransform(
                recipe.side,
                crop=recipe.crop,
                flip=recipe.flip,
                rand_augment=recipe.rand_augment or None,
                color_jitter=recipe.color_jitter,
                erasing=recipe.erasing,
                scale=(recipe.smallest_area, 1.0),
                shift=recipe.shift,
            ),
            seed=recipe.seed,
            first_epoch=done,
            shard=(self.strategy.process, self.strategy.processes),
            repeats=recipe.repeats,
            smoothing=recipe.label_smoothing,
            mix=augmentation.MixUpCutMix(
                recipe.mixup,
                recipe.cutmix,
                switch_probability=recipe.switch_probability,
                probability=recipe.mix_probability,
            ),
        )

    @functools.cached_property
    def _val_batches(self) -> ImageBatches:
        """Of all epochs, so that an image that cannot be read is named once."""
        return ImageBatches(
            self.val_images,
            self.strategy.check_batch(self.recipe.batch_size),
            augmentation.EvalTransform(self.recipe.side),
            shuffle=False,
            shard=(self.strategy.process, self.strategy.processes),
            # Devices need parts of one size; what fills them up weighs nothing in the metrics.
            last_batch="pad" if self.strategy.devices > 1 else "keep",
        )

    def measure(self, whole, batch_size):
        # Averaged weights are validated.
        averaged = [AveragedWeights()] if self.recipe.ema else []
        batches = self._val_batches
        measured = whole.evaluate(batches, callbacks=averaged, verbose=0, return_dict=True)
        own = len(range(self.strategy.process, len(self.val_images), self.strategy.processes))
        if batches.positions.last_batch == "pad":
            # Keras divides a loss by all images of a batch, those that weigh nothing too.
            all_images = len(batches) * batches.positions.batch_size
            measured["loss"] *= all_images / max(1, own - len(batches.skipped))
        return {f"val_{name}": value for name, value in self.strategy.share(measured, own).items()}

    def panels(self, rows):
        return PANELS

    def finish(self, run, batch_size):
        self._take_averaged(run)  # `fit` has done it, unless all epochs were done before
        run.save(RESULT, self._write)
        run.take_best()
        self._take_averaged(run)
        run.save("best.keras", self._write)
        return {
            name.removeprefix("val_"): value
            for name, value in run.results().items()
            if name.startswith("val_")
        }

    def _write(self, model: keras.Model, path: pathlib.Path) -> None:
        size = (self.recipe.side, self.recipe.side)
        TrainedModel(
            model, "classification", "classifier", tuple(self.classes), size, logits=True
        ).save(path)

    def _take_averaged(self, run: Run) -> None:
        if self.recipe.ema:
            run.whole.optimizer.finalize_variable_values(run.model.trainable_variables)


def _with_teacher(recipe, model: keras.Model) -> keras.Model:
    if not recipe.teacher:
        return model
    teacher = keras.saving.load_model(recipe.teacher, compile=False)
    return distillation.with_teacher(
        model, teacher, recipe.distillation, recipe.distillation_weight, recipe.temperature
    )


def learning_rate(recipe, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """The schedule of a `ClassificationRecipe`, for so many steps in an epoch."""
    if recipe.schedule == "official":
        return OfficialCosine(
            recipe.peak_rate, recipe.epochs, steps, recipe.warm_up, end=recipe.end_rate
        )
    warm_up = round(recipe.warm_up * steps)
    return WarmUpCosine(recipe.peak_rate, warm_up, recipe.epochs * steps, recipe.end_rate)
