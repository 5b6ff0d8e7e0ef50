"""A training run in its folder: settings, log, checkpoints, results."""

import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import keras

from keras_pvt.models.trained_model import bare_copy
from keras_pvt.ops import BACKEND
from keras_pvt.recipes.base import BaseRecipe
from keras_pvt.training import run_folder
from keras_pvt.training.callbacks import Progress, Speed, StopWhenDiverged, label_loss
from keras_pvt.training.checkpoints import BEST, FOLDER, Checkpoints
from keras_pvt.training.distribution import Strategy
from keras_pvt.training.log import Log, cut_log, draw_curves, read_history
from keras_pvt.training.state import load_state
from keras_pvt.utils.files import replacing


class Run:
    """A training run in its folder, from the first step or from its last checkpoint.

    Args:
        recipe: recipe of the run, which decides the result.
        out: folder, held by `run_folder.alone`.
        strategy: devices to use.
        model: model whose weights are trained and kept.
        whole: the model that is compiled and fitted; usually `model` itself.
        classes: names.
        images: numbers of images to train on and to validate on. If they change, a new split is
            drawn, and some training images would become validation images.
        monitor: value of the log that is highest in the best epoch.
        keep: how many checkpoints of the last epochs to keep.
        guessing: whether the loss of guessing is ln(classes), by which a collapse is recognised.
        limit_steps: largest number of steps in an epoch; 0: no limit.
        extend: whether the run may have been started with fewer epochs.
    Attributes:
        done: number of finished epochs.
    Raises:
        ValueError: the files in `out` do not fit the recipe.
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
        limit_steps: int = 0,
        extend: bool = False,
    ):
        self.recipe: Any = recipe  # whose fields are those of a task
        self.out, self.strategy = out, strategy
        self.model, self.whole, self.classes = model, whole, classes
        self.guessing, self.limit_steps = guessing, limit_steps
        self.history = out / "history.csv"
        self.checkpoints = Checkpoints(out / FOLDER, model, keep, monitor, strategy.chief)
        settings = recipe.decisive() | {
            "classes": list(classes),
            "image_counts": list(images),
            "limit_steps": limit_steps,
            "backend": BACKEND,
        }
        run_folder.same_settings(
            out,
            settings,
            recipe.defaults(),
            strategy,
            done=self.checkpoints.epochs(),
            length=recipe.length,
            extend=extend,
        )
        self.done = self.checkpoints.restore(whole.optimizer)
        if strategy.chief:
            cut_log(self.history, self.done)
        strategy.barrier()
        self._rows = read_history(self.history) if self.history.exists() else []
        strategy.barrier()  # all have read it before one writes to it

    def announce(self, text: str, policy: str) -> None:
        """Print the plan of the run, once for all processes.

        Args:
            text: data, model and length of the run.
            policy: in which precision.
        """
        if not self.strategy.chief:
            return
        number = self.strategy.devices
        devices = f"{number} devices ({self.strategy.name})" if number > 1 else "one device"
        print(f"{text}; on {devices} by {BACKEND}, {policy}")
        if self.done >= self.recipe.epochs:
            advice = run_folder.how_to_go_on(self.out, self.recipe.length)
            print(f"the run is already finished; {advice}", flush=True)
        elif self.done:
            print(f"resuming after epoch {self.done}", flush=True)

    def fit(
        self,
        batches: keras.utils.PyDataset,
        steps: int,
        measure: Callable[[], dict[str, float]],
        *,
        every: int = 1,
        around: Callable[[], AbstractContextManager] = nullcontext,
        tensorboard: bool = False,
    ) -> None:
        """Train to the last epoch.

        The checkpoint of an epoch is written before the epoch is evaluated. If the evaluation
        fails, or the process ends, the resumed run evaluates it.

        Args:
            batches: of this process, from epoch `done` on; the images that it could not read, in
                its `skipped`, are named at the end.
            steps: number of steps in an epoch.
            measure: function that returns the metrics after an epoch, by name.
            every: epochs from one time to the next; the last one is always measured.
            around: makes a context to train in.
            tensorboard: write `out`/tensorboard too, which needs TensorFlow.
        """
        steps = min(self.limit_steps or steps, steps)
        epochs, batch_size = self.recipe.epochs, self.recipe.batch_size
        losses = [label_loss(row) for row in self._rows]
        unmeasured = self.done > 0 and all(row["epoch"] != self.done - 1 for row in self._rows)
        if unmeasured:
            losses.append(label_loss(self.checkpoints.logs))
        end_of_epoch = keras.callbacks.LambdaCallback
        before: list[keras.callbacks.Callback] = [
            self.strategy.callback(),
            Speed(steps * batch_size),
            StopWhenDiverged(
                len(self.classes) if self.guessing and self.recipe.collapse_check else None,
                losses,
                tells=self.strategy.chief,
            ),
            end_of_epoch(on_epoch_end=self.checkpoints.write_epoch),
        ]
        after: list[keras.callbacks.Callback] = [
            end_of_epoch(on_epoch_end=measuring(measure, epochs, every)),
            end_of_epoch(on_epoch_end=self.checkpoints.write_best),
        ]
        if self.strategy.chief:
            after += [Log(self.history), Progress(steps, batch_size)]
            if tensorboard:
                after.append(keras.callbacks.TensorBoard(str(self.out / "tensorboard")))
        self.checkpoints.set_model(self.whole)
        with around():
            if unmeasured:
                self._end_epoch(after, epochs)
            if self.done >= epochs:
                return
            keras.Model.fit(  # KerasHub's own takes no PyDataset
                self.whole,
                batches,
                initial_epoch=self.done,
                epochs=epochs,
                steps_per_epoch=steps,
                shuffle=False,  # the batches do it, the same after a resumption
                callbacks=before + after,
                verbose=0,
            )
        if batches.skipped:
            print(f"{len(batches.skipped)} images could not be read, others took their place:")
            for name, reason in batches.skipped.items():
                print(f"  {name}: {reason}")

    def _end_epoch(self, after: list[keras.callbacks.Callback], epochs: int) -> None:
        """Do what follows on the checkpoint of an epoch, after which the run was stopped."""
        callbacks = keras.callbacks.CallbackList(after, model=self.whole, epochs=epochs)
        callbacks.on_train_begin()
        callbacks.on_epoch_begin(self.done - 1)
        callbacks.on_epoch_end(self.done - 1, dict(self.checkpoints.logs))
        callbacks.on_train_end()

    def take_best(self) -> int:
        """Give the model the weights of the best epoch.

        Returns:
            Its number, from 0.
        """
        self.strategy.barrier()  # its checkpoint is there
        best = self.out / FOLDER / BEST
        return load_state(best, self.model, self.whole.optimizer)["epoch"] - 1

    def results(self, epoch: int | None = None) -> dict[str, float]:
        """What the log has of an epoch.

        Args:
            epoch: its number, from 0; by default that of the last one.
        """
        self.strategy.barrier()  # it is written
        epoch = self.recipe.epochs - 1 if epoch is None else epoch
        return next(row for row in read_history(self.history) if row["epoch"] == epoch)

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


def measuring(measure: Callable[[], dict[str, float]], epochs: int, every: int):
    """Adds what is measured to the log of an epoch, and how long that took."""

    def end_epoch(epoch, logs):
        if (epoch + 1) % every and epoch + 1 != epochs:
            return
        wall, cpu = time.perf_counter(), time.process_time()
        logs.update(measure())
        logs["validation_seconds"] = time.perf_counter() - wall
        logs["seconds"] += logs["validation_seconds"]
        logs["cpu_seconds"] += time.process_time() - cpu

    return end_epoch
