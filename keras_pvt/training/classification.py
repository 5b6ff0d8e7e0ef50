"""A classifier trained by a recipe, from the first step or from where it was stopped."""

import contextlib
import json
import pathlib
from collections.abc import Iterator

import keras

from keras_pvt import training
from keras_pvt.conversion.files import replacing
from keras_pvt.models.classifier import classifier
from keras_pvt.ops import BACKEND
from keras_pvt.training import augmentation, distillation, precision
from keras_pvt.training.checkpoints import BEST, Checkpoints, cut_log, load_state
from keras_pvt.training.data import ImageBatches, Images, InMemory, open_train_and_val
from keras_pvt.training.distribution import Strategy
from keras_pvt.training.progress import Progress, Speed
from keras_pvt.training.recipe import Recipe
from keras_pvt.training.schedule import OfficialCosine, WarmUpCosine
from keras_pvt.training.watch import StopWhenDiverged

SETTINGS = "settings.json"


def train(
    recipe: Recipe,
    out: pathlib.Path,
    strategy: Strategy,
    *,
    in_memory: bool = False,
    tensorboard: bool = False,
    keep: int = 2,
    limit_steps: int = 0,
) -> dict[str, float]:
    """Train as the recipe says; started again on the same folder, go on after the last epoch.

    In `out` come to lie: settings.json, history.csv and curves.png, `checkpoints/`, and at the
    end model.keras and best.keras, which give logits of images normalised by `preprocess_input`.

    Args:
        recipe: what to do.
        out: folder of the run, on a disk that all processes share.
        strategy: devices to use.
        in_memory: decode all images once and hold them.
        tensorboard: write `out`/tensorboard too, which needs TensorFlow.
        keep: checkpoints of last epochs that stay.
        limit_steps: at most so many steps in an epoch, to try things out; 0 is all.
    Returns:
        "val_accuracy" and others, of the last epoch's model.
    Raises:
        ValueError: data, batch and devices, or what lies in `out` do not fit the recipe; or the
            loss shows that nothing will come of it.
        OSError: data cannot be read or `out` not be written.
    """
    local_batch = strategy.check_batch(recipe.batch_size)
    images, val_images = open_train_and_val(recipe.data)
    with _alone(out, strategy):
        _same_settings(out, recipe, images, strategy)
        if in_memory:
            images, val_images = InMemory(images), InMemory(val_images)
        run = _Run(recipe, out, strategy, images, val_images, local_batch, limit_steps)
        with strategy.scope():
            return run.go(keep, tensorboard)


@contextlib.contextmanager
def _alone(out: pathlib.Path, strategy: Strategy) -> Iterator[None]:
    """The folder is there, and no other run writes to it."""
    import filelock

    if not strategy.chief:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    try:
        # The system lets go of it when the process ends, also by kill -9.
        with filelock.FileLock(out / ".lock", timeout=0):
            yield
    except filelock.Timeout:
        raise ValueError(f"another process trains in {out}; choose another --out.") from None


def _same_settings(out, recipe: Recipe, images: Images, strategy: Strategy) -> None:
    """Write what the run is made of; or, where it was begun before, find the same."""
    settings = vars(recipe) | {"classes": list(images.classes), "backend": BACKEND}
    path = out / SETTINGS
    if path.exists():
        before = json.loads(path.read_text())
        for name, value in settings.items():
            if before.get(name) != value:
                raise ValueError(
                    f"{out} was begun with {name} {before.get(name)!r}, now it is {value!r}; go on "
                    "with the same, or choose another --out."
                )
    elif strategy.chief:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n")
    strategy.barrier()


class _Run:
    def __init__(self, recipe, out, strategy, images, val_images, local_batch, limit_steps):
        self.recipe, self.out, self.strategy = recipe, out, strategy
        self.images, self.val_images = images, val_images
        self.history = out / "history.csv"
        self.steps = len(images) // recipe.batch_size
        if not self.steps:
            raise ValueError(
                f"{len(images)} training images make no batch of {recipe.batch_size}; pass a "
                "smaller --batch-size."
            )
        self.limit = min(limit_steps, self.steps) if limit_steps else None
        self.local_batch = local_batch

    def go(self, keep: int, tensorboard: bool) -> dict[str, float]:
        recipe, strategy = self.recipe, self.strategy
        keras.utils.set_random_seed(recipe.seed)
        policy = precision.use(recipe.mixed_precision)
        model, whole = self._compiled()
        checkpoints = Checkpoints(self.out / "checkpoints", model, keep=keep, writes=strategy.chief)
        done = checkpoints.restore(whole.optimizer)
        if strategy.chief:
            cut_log(self.history, done)
            self._announce(policy, done)
        val = self._val_batches()
        if done < recipe.epochs:
            batches = self._train_batches(done)
            whole.fit(
                batches,
                initial_epoch=done,
                epochs=recipe.epochs,
                steps_per_epoch=self.limit,
                validation_data=val,
                shuffle=False,  # the batches do it, the same after a resumption
                callbacks=self._callbacks(checkpoints, tensorboard),
                verbose=0,
            )
            self._name_skipped(batches)
        if (
            recipe.ema
        ):  # Keras does it after `fit`; after a resumption of the last epoch there is none
            whole.optimizer.finalize_variable_values(model.trainable_variables)
        results = strategy.share(
            whole.evaluate(val, verbose=0, return_dict=True), self._validated()
        )
        if strategy.chief:
            self._write_results(model, whole.optimizer)
        return {f"val_{name}": value for name, value in results.items()}

    def _compiled(self) -> tuple[keras.Model, keras.Model]:
        """The classifier, and what is fitted in its place."""
        recipe = self.recipe
        model = classifier(
            recipe.variant,
            weights=recipe.weights or None,
            input_shape=(recipe.image_size, recipe.image_size, 3),
            classes=len(self.images.classes),
            classifier_activation=None,
            drop_path_rate=recipe.drop_path,
        )
        optimizer = training.make_optimizer(
            recipe.optimizer,
            model,
            self._rate(),
            recipe.weight_decay,
            not_muon=["^head/"],
            clip_norm=recipe.clip_norm or None,
            ema=recipe.ema,
            accumulate=recipe.accumulate,
            layer_decay=recipe.layer_decay,
            frozen_steps=round(recipe.frozen_epochs * self.steps),
        )
        whole = self.strategy.replicate(self._with_teacher(model))
        metrics = [keras.metrics.CategoricalAccuracy(name="accuracy")]
        if len(self.images.classes) > 5:
            metrics.append(keras.metrics.TopKCategoricalAccuracy(5, name="top5_accuracy"))
        whole.compile(
            optimizer,
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            weighted_metrics=metrics,  # weights of 0 fill up the last validation batch
        )
        return model, whole

    def _with_teacher(self, model):
        recipe = self.recipe
        if not recipe.teacher:
            return model
        teacher = keras.saving.load_model(recipe.teacher, compile=False)
        return distillation.with_teacher(
            model, teacher, recipe.distillation, recipe.distillation_weight, recipe.temperature
        )

    def _rate(self):
        recipe, steps = self.recipe, self.steps
        if recipe.schedule == "official":
            return OfficialCosine(
                recipe.peak_rate, recipe.epochs, steps, recipe.warm_up, end=recipe.end_rate
            )
        warm_up = round(recipe.warm_up * steps)
        return WarmUpCosine(recipe.peak_rate, warm_up, recipe.epochs * steps, recipe.end_rate)

    def _train_batches(self, done: int) -> ImageBatches:
        recipe = self.recipe
        return ImageBatches(
            self.images,
            self.local_batch,
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

    def _val_batches(self) -> ImageBatches:
        return ImageBatches(
            self.val_images,
            self.local_batch,
            augmentation.EvalTransform(self.recipe.image_size),
            shuffle=False,
            shard=(self.strategy.process, self.strategy.processes),
            # Devices need parts of one size; what fills them up weighs nothing in the metrics.
            last_batch="pad" if self.strategy.devices > 1 else "keep",
        )

    def _validated(self) -> int:
        """Images that this process validates on."""
        return len(range(self.strategy.process, len(self.val_images), self.strategy.processes))

    def _callbacks(self, checkpoints: Checkpoints, tensorboard: bool) -> list:
        rows = training.read_history(self.history) if self.history.exists() else []
        steps = self.limit or self.steps
        callbacks = [
            self.strategy.callback(val_weight=self._validated()),
            Speed(steps * self.recipe.batch_size),
            StopWhenDiverged(len(self.images.classes), [row["loss"] for row in rows]),
        ]
        if self.recipe.ema:  # validation by the averaged weights
            callbacks.append(keras.callbacks.SwapEMAWeights())
        if self.strategy.chief:
            callbacks += [training.Log(self.history), Progress(steps, self.recipe.batch_size)]
            if tensorboard:
                callbacks.append(keras.callbacks.TensorBoard(str(self.out / "tensorboard")))
        return [*callbacks, checkpoints]

    def _announce(self, policy: str, done: int) -> None:
        recipe, strategy = self.recipe, self.strategy
        print(
            f"{recipe.variant}, {len(self.images)} images of {len(self.images.classes)} classes, "
            f"{len(self.val_images)} to validate on; {recipe.epochs} epochs of {self.steps} steps, "
            f"batch {recipe.batch_size}; {strategy.name} on {strategy.devices} device(s) by "
            f"{BACKEND}, {policy}"
        )
        if done:
            print(f"going on after epoch {done}")

    def _name_skipped(self, batches: ImageBatches) -> None:
        if batches.skipped:
            print(f"{len(batches.skipped)} images could not be read, others took their place:")
            for name, reason in batches.skipped.items():
                print(f"  {name}: {reason}")

    def _write_results(self, model: keras.Model, optimizer) -> None:
        _save(model, self.out / "model.keras")
        rows = training.read_history(self.history)
        panels = {
            "loss": ["loss", "val_loss"],
            "accuracy": ["accuracy", "val_accuracy"],
            "learning rate": ["learning_rate"],
        }
        training.draw_curves(rows, panels, self.out / "curves.png")
        load_state(self.out / "checkpoints" / BEST, model, optimizer)
        if self.recipe.ema:
            optimizer.finalize_variable_values(model.trainable_variables)
        _save(model, self.out / "best.keras")


def _save(model: keras.Model, path: pathlib.Path) -> None:
    """Write the model alone: with its optimizer it would be three times as large."""
    bare = type(model).from_config(model.get_config())
    bare.set_weights(model.get_weights())
    with replacing(path) as temporary:
        bare.save(temporary)
