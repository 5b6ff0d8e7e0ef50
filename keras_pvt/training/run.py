"""What every training run does with its folder: settings, log, checkpoints, results."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import keras

from keras_pvt.models.trained_model import bare_copy
from keras_pvt.ops import BACKEND
from keras_pvt.recipes.base import BaseRecipe
from keras_pvt.training import run_folder
from keras_pvt.training.callbacks import Progress, Speed, StopWhenDiverged, label_loss
from keras_pvt.training.checkpoints import BEST, Checkpoints, cut_log
from keras_pvt.training.distribution import Strategy
from keras_pvt.training.log import Log, draw_curves, read_history
from keras_pvt.training.state import load_state
from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.files import replacing


class Run:
    """A training run in its folder, from the first step or from where it was stopped.

    Args:
        recipe: what decides the result.
        out: folder, held by `run_folder.alone`.
        strategy: devices to use.
        model: whose weights are trained and kept.
        whole: what is compiled and fitted in its place; most often the model itself.
        classes: names.
        images: to train on, and to validate on; of others, a split is drawn anew, so that some
            that were trained on would be validated on.
        monitor: value of the log that the best epoch has most of.
        keep: checkpoints of last epochs that stay.
        guessing: whether the loss is ln(classes) where a model guesses, by which a collapse is
            told.
    Attributes:
        done: epochs that lie behind.
    Raises:
        ValueError: what lies in `out` does not fit the recipe.
        OSError: `out` cannot be read or written.
    """

    def __init__(
        self,
        recipe: BaseRecipe,
        out: pathlib.Path,
        strategy: Strategy,
        model: keras.Model,
        whole: keras.Model,
        classes: Sequence[str],
        images: tuple[int, int],
        monitor: str,
        keep: int = 2,
        guessing: bool = True,
    ):
        self.recipe, self.out, self.strategy = recipe, out, strategy
        self.model, self.whole, self.classes = model, whole, classes
        self.guessing = guessing
        self.history = out / "history.csv"
        self.checkpoints = Checkpoints(out / "checkpoints", model, keep, monitor, strategy.chief)
        settings = recipe.decisive() | {
            "classes": list(classes),
            "images": list(images),
            "backend": BACKEND,
        }
        run_folder.same_settings(out, settings, strategy, begun=bool(self.checkpoints.files()))
        self.done = self.checkpoints.restore(whole.optimizer)
        if strategy.chief:
            cut_log(self.history, self.done)

    def announce(self, text: str, policy: str) -> None:
        """Say what is going to be done, once for all processes.

        Args:
            text: data, model and length of the run.
            policy: in which precision.
        """
        if self.strategy.chief:
            devices = f"{self.strategy.name} on {self.strategy.devices} device(s)"
            print(f"{text}; {devices} by {BACKEND}, {policy}")
            if self.done:
                print(f"going on after epoch {self.done}", flush=True)

    def fit(
        self,
        batches: keras.utils.PyDataset,
        epochs: int,
        steps: int,
        *,
        validation_data=None,
        validated: int = 1,
        measures: Sequence[keras.callbacks.Callback] = (),
        around: Callable[[], AbstractContextManager] = nullcontext,
        tensorboard: bool = False,
    ) -> None:
        """Train to the last epoch.

        Args:
            batches: of this process, from epoch `done` on; the images that it could not read, in
                its `skipped`, are named at the end.
            epochs: of the whole run.
            steps: in an epoch.
            validation_data: as Keras's `fit` takes it.
            validated: images of it that are this process's.
            measures: callbacks that add to the log of an epoch.
            around: makes a context to train in.
            tensorboard: write `out`/tensorboard too, which needs TensorFlow.
        """
        if self.done >= epochs:
            return
        rows = read_history(self.history) if self.history.exists() else []
        batch_size = self.recipe.batch_size
        callbacks: list[keras.callbacks.Callback] = [
            self.strategy.callback(val_weight=validated),
            Speed(steps * batch_size),
            StopWhenDiverged(
                len(self.classes) if self.guessing and self.recipe.collapse_check else None,
                [label_loss(row) for row in rows],
                tells=self.strategy.chief,
            ),
            *measures,
        ]
        if self.strategy.chief:
            callbacks += [Log(self.history), Progress(steps, batch_size)]
            if tensorboard:
                callbacks.append(_tensorboard(self.out / "tensorboard"))
        with around():
            keras.Model.fit(  # KerasHub's own takes no PyDataset
                self.whole,
                batches,
                initial_epoch=self.done,
                epochs=epochs,
                steps_per_epoch=steps,
                validation_data=validation_data,
                shuffle=False,  # the batches do it, the same after a resumption
                callbacks=[*callbacks, self.checkpoints],
                verbose=0,
            )
        if batches.skipped:
            print(f"{len(batches.skipped)} images could not be read, others took their place:")
            for name, reason in batches.skipped.items():
                print(f"  {name}: {reason}")

    def take_best(self) -> None:
        """Give the model the weights of the best epoch."""
        self.strategy.barrier()  # its checkpoint is there
        load_state(self.out / "checkpoints" / BEST, self.model, self.whole.optimizer)

    def draw(self, panels: Callable[[list[dict[str, float]]], Mapping[str, Sequence[str]]]) -> None:
        """Draw columns of the log as curves.png.

        Args:
            panels: gives, for the rows of the log, what `draw_curves` takes.
        """
        if self.strategy.chief:
            rows = read_history(self.history)
            draw_curves(rows, panels(rows), self.out / "curves.png")

    def save(
        self,
        name: str,
        write: Callable[[keras.Model, pathlib.Path], None],
    ) -> None:
        """Write a bare copy of the model; by all processes, since none can read weights that it
        shares with others alone.

        Args:
            name: of the file in `out`.
            write: writes a model to a path.
        """
        copy = bare_copy(self.model)
        if self.strategy.chief:
            with replacing(self.out / name) as temporary:
                write(copy, temporary)


def _tensorboard(folder: pathlib.Path) -> keras.callbacks.Callback:
    with needed_for("--tensorboard", "tensorboard", "tensorflow"):
        import tensorboard  # noqa: F401, which shows the logs
        import tensorflow  # noqa: F401, by which Keras writes them, on any backend
    return keras.callbacks.TensorBoard(str(folder))
