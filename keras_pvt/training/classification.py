"""A classifier trained by a recipe, from the first step or from where it was stopped."""

import importlib.util
import pathlib

import keras

from keras_pvt import training
from keras_pvt.conversion.files import replacing
from keras_pvt.ops import BACKEND
from keras_pvt.training import from_recipe, precision, run_folder
from keras_pvt.training.checkpoints import BEST, Checkpoints, cut_log
from keras_pvt.training.data import ImageBatches, Images, InMemory, open_train_and_val
from keras_pvt.training.distribution import Strategy
from keras_pvt.training.progress import Progress, Speed
from keras_pvt.training.recipe import Recipe
from keras_pvt.training.state import load_state
from keras_pvt.training.watch import StopWhenDiverged

PANELS = {
    "loss": ["loss", "val_loss"],
    "accuracy": ["accuracy", "val_accuracy"],
    "learning rate": ["learning_rate"],
}


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
    batch_size = strategy.check_batch(recipe.batch_size)
    images, val_images = open_train_and_val(recipe.data)
    if len(images) < recipe.batch_size:
        raise ValueError(
            f"{len(images)} training images make no batch of {recipe.batch_size}; pass a smaller "
            "--batch-size."
        )
    with run_folder.alone(out, strategy):
        if in_memory:
            images, val_images = InMemory(images), InMemory(val_images)
        run = _Run(recipe, out, strategy, images, val_images, batch_size)
        with strategy.scope():
            return run.go(limit_steps, keep, tensorboard)


class _Run:
    def __init__(
        self,
        recipe: Recipe,
        out: pathlib.Path,
        strategy: Strategy,
        images: Images,
        val_images: Images,
        batch_size: int,
    ):
        self.recipe, self.out, self.strategy = recipe, out, strategy
        self.images, self.val_images, self.batch_size = images, val_images, batch_size
        self.history = out / "history.csv"
        self.steps = len(images) // recipe.batch_size
        # Images that this process validates on.
        self.validated = len(range(strategy.process, len(val_images), strategy.processes))

    def go(self, limit_steps: int, keep: int, tensorboard: bool) -> dict[str, float]:
        recipe, strategy = self.recipe, self.strategy
        keras.utils.set_random_seed(recipe.seed)
        policy = precision.use(recipe.mixed_precision)
        model, whole = from_recipe.compiled(recipe, len(self.images.classes), self.steps, strategy)
        checkpoints = Checkpoints(self.out / "checkpoints", model, keep, writes=strategy.chief)
        settings = vars(recipe) | {"classes": list(self.images.classes), "backend": BACKEND}
        run_folder.same_settings(self.out, settings, strategy, begun=bool(checkpoints.files()))
        done = checkpoints.restore(whole.optimizer)
        if strategy.chief:
            cut_log(self.history, done)
            self._announce(policy, done)
        val = from_recipe.val_batches(recipe, self.val_images, self.batch_size, strategy)
        if done < recipe.epochs:
            batches = from_recipe.train_batches(
                recipe, self.images, self.batch_size, strategy, done
            )
            steps = min(limit_steps or self.steps, self.steps)
            whole.fit(
                batches,
                initial_epoch=done,
                epochs=recipe.epochs,
                steps_per_epoch=steps,
                validation_data=val,
                shuffle=False,  # the batches do it, the same after a resumption
                callbacks=[*self._callbacks(steps, tensorboard), checkpoints],
                verbose=0,
            )
            _name_skipped(batches)
        if recipe.ema:  # `fit` has done it, unless all epochs were done before
            whole.optimizer.finalize_variable_values(model.trainable_variables)
        results = whole.evaluate(val, verbose=0, return_dict=True)
        results = strategy.share(results, self.validated)
        self._write_results(model, whole.optimizer)
        return {f"val_{name}": value for name, value in results.items()}

    def _callbacks(self, steps: int, tensorboard: bool) -> list[keras.callbacks.Callback]:
        batch_size = self.recipe.batch_size
        rows = training.read_history(self.history) if self.history.exists() else []
        callbacks = [
            self.strategy.callback(val_weight=self.validated),
            Speed(steps * batch_size),
            StopWhenDiverged(len(self.images.classes), [row["loss"] for row in rows]),
        ]
        if self.recipe.ema:  # validation by the averaged weights
            callbacks.append(keras.callbacks.SwapEMAWeights())
        if self.strategy.chief:
            callbacks += [training.Log(self.history), Progress(steps, batch_size)]
            if tensorboard:
                callbacks.append(_tensorboard(self.out / "tensorboard"))
        return callbacks

    def _announce(self, policy: str, done: int) -> None:
        recipe, strategy = self.recipe, self.strategy
        print(
            f"{recipe.variant}, {len(self.images)} images of {len(self.images.classes)} classes, "
            f"{len(self.val_images)} to validate on; {recipe.epochs} epochs of {self.steps} steps, "
            f"batch {recipe.batch_size}; {strategy.name} on {strategy.devices} device(s) by "
            f"{BACKEND}, {policy}"
        )
        if done:
            print(f"going on after epoch {done}", flush=True)

    def _write_results(self, model: keras.Model, optimizer) -> None:
        """By all processes, since none can set weights that it shares with others alone."""
        self._save(model, "model.keras")
        if self.strategy.chief:
            rows = training.read_history(self.history)
            training.draw_curves(rows, PANELS, self.out / "curves.png")
        self.strategy.barrier()  # the best checkpoint is there
        load_state(self.out / "checkpoints" / BEST, model, optimizer)
        if self.recipe.ema:
            optimizer.finalize_variable_values(model.trainable_variables)
        self._save(model, "best.keras")

    def _save(self, model: keras.Model, name: str) -> None:
        """Write the model alone: with its optimizer it would be three times as large."""
        bare = type(model).from_config(model.get_config())
        bare.set_weights(model.get_weights())
        if self.strategy.chief:
            with replacing(self.out / name) as temporary:
                bare.save(temporary)


def _tensorboard(folder: pathlib.Path) -> keras.callbacks.Callback:
    needed = ("tensorboard", "tensorflow")  # by which Keras writes its logs, on any backend
    if not all(importlib.util.find_spec(name) for name in needed):
        raise ImportError("--tensorboard needs pip install keras-pvt[tensorboard].")
    return keras.callbacks.TensorBoard(str(folder))


def _name_skipped(batches: ImageBatches) -> None:
    if batches.skipped:
        print(f"{len(batches.skipped)} images could not be read, others took their place:")
        for name, reason in batches.skipped.items():
            print(f"  {name}: {reason}")
