"""The parts of a run as its recipe describes them."""

import keras

from keras_pvt import training
from keras_pvt.models.classifier import from_recipe
from keras_pvt.training import augmentation, distillation
from keras_pvt.training.data import ImageBatches, Images
from keras_pvt.training.distribution import Strategy
from keras_pvt.training.recipe import Recipe
from keras_pvt.training.schedule import OfficialCosine, WarmUpCosine


def compiled(
    recipe: Recipe, classes: int, steps: int, strategy: Strategy
) -> tuple[keras.Model, keras.Model]:
    """A classifier of logits, and what to fit in its place: both the same, in the simplest case.

    Args:
        recipe: what to build.
        classes: 2 or more.
        steps: in an epoch.
        strategy: in whose scope this is called.
    """
    model, _ = from_recipe(recipe, classes)
    optimizer = training.make_optimizer(
        recipe.optimizer,
        model,
        learning_rate(recipe, steps),
        recipe.weight_decay,
        not_muon=["^head/"],
        clip_norm=recipe.clip_norm or None,
        ema=recipe.ema,
        accumulate=recipe.accumulate,
        layer_decay=recipe.layer_decay,
        frozen_steps=round(recipe.frozen_epochs * steps),
    )
    whole = strategy.replicate(_with_teacher(recipe, model))
    metrics = [keras.metrics.CategoricalAccuracy(name="accuracy")]
    if classes > 5:
        metrics.append(keras.metrics.TopKCategoricalAccuracy(5, name="top5_accuracy"))
    whole.compile(
        optimizer,
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        weighted_metrics=metrics,  # weights of 0 fill up the last validation batch
    )
    return model, whole


def _with_teacher(recipe: Recipe, model: keras.Model) -> keras.Model:
    if not recipe.teacher:
        return model
    teacher = keras.saving.load_model(recipe.teacher, compile=False)
    return distillation.with_teacher(
        model, teacher, recipe.distillation, recipe.distillation_weight, recipe.temperature
    )


def learning_rate(recipe: Recipe, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """The schedule, for so many steps in an epoch."""
    if recipe.schedule == "official":
        return OfficialCosine(
            recipe.peak_rate, recipe.epochs, steps, recipe.warm_up, end=recipe.end_rate
        )
    warm_up = round(recipe.warm_up * steps)
    return WarmUpCosine(recipe.peak_rate, warm_up, recipe.epochs * steps, recipe.end_rate)


def train_batches(
    recipe: Recipe, images: Images, batch_size: int, strategy: Strategy, done: int
) -> ImageBatches:
    """What this process trains on.

    Args:
        recipe: decides augmentation and seed.
        images: all of them.
        batch_size: of this process.
        strategy: decides which images are this process's.
        done: epochs that lie behind.
    """
    return ImageBatches(
        images,
        batch_size,
        augmentation.TrainTransform(
            recipe.image_size,
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
        shard=(strategy.process, strategy.processes),
        repeats=recipe.repeats,
        smoothing=recipe.label_smoothing,
        mix=augmentation.MixUpCutMix(
            recipe.mixup,
            recipe.cutmix,
            switch_probability=recipe.switch_probability,
            probability=recipe.mix_probability,
        ),
    )


def val_batches(
    recipe: Recipe, images: Images, batch_size: int, strategy: Strategy
) -> ImageBatches:
    """What this process validates on; arguments as of `train_batches`."""
    return ImageBatches(
        images,
        batch_size,
        augmentation.EvalTransform(recipe.image_size),
        shuffle=False,
        shard=(strategy.process, strategy.processes),
        # Devices need parts of one size; what fills them up weighs nothing in the metrics.
        last_batch="pad" if strategy.devices > 1 else "keep",
    )
