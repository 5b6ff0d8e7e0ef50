"""Callbacks of a training run: progress, metrics, and a stop when the loss diverges."""

from __future__ import annotations

import math
import sys
import time
import typing
from collections.abc import Mapping, Sequence

import keras

if typing.TYPE_CHECKING:
    import rich.progress


NARROW, WIDE = 78, 110  # characters of a line: less has the loss alone, more has the rate too


class Progress(keras.callbacks.Callback):
    """A bar with loss, accuracy and remaining time, and, if there is room, learning rate and
    images/s; a line for each epoch.

    Metrics that are NaN, because there was nothing to measure, are left out. The bar is drawn on
    terminals only. Values are fetched from the device four times a second.

    Args:
        steps: in an epoch.
        batch_size: images in a step, on all devices together.
    """

    def __init__(self, steps: int, batch_size: int):
        super().__init__()
        self.steps, self.batch_size = steps, batch_size
        self.bar: rich.progress.Progress | None = None
        self.seen = False  # whether a step is done: before it backends compile

    def on_train_begin(self, logs=None):
        from rich import progress
        from rich.console import Console

        console = Console(stderr=True)
        if console.is_terminal:
            self.names = ["loss", "accuracy"] if console.width >= NARROW else ["loss"]
            self.wide = console.width >= WIDE
            self.bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(bar_width=None),  # what the others leave of the line
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[values]}, left"),
                progress.TimeRemainingColumn(),
                console=console,
                expand=True,
                # What goes to a file or pipe must not be drawn above the bar instead.
                redirect_stdout=sys.stdout.isatty(),
            )
            self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.began = self.shown = time.perf_counter()
        if self.bar is not None:
            total = self.params["epochs"]
            name = f"epoch {epoch + 1}/{total}"
            values = "loss ..." if self.seen else "starting"
            self.task = self.bar.add_task(name, total=self.steps, values=values)

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self.bar is None or (self.seen and now - self.shown < 0.25):
            return
        self.seen = True
        self.shown = now
        values = {name: logs[name] for name in self.names if name in logs}
        if self.wide:
            values["rate"] = self.model.optimizer.learning_rate
            values["images/s"] = (batch + 1) * self.batch_size / (now - self.began)
        self.bar.update(self.task, completed=batch + 1, values=_values(values))

    def on_epoch_end(self, epoch, logs=None):
        if self.bar is not None:
            self.bar.remove_task(self.task)
        total = self.params["epochs"]
        # A loss is always measured: that of the validation is NaN where it diverges.
        shown = {
            name: value
            for name, value in logs.items()
            if (name.endswith("loss") or not math.isnan(value)) and name != "cpu_seconds"
        }
        print(f"epoch {epoch + 1}/{total}: {_values(shown)}", flush=True)

    def on_train_end(self, logs=None):
        if self.bar is not None:
            self.bar.stop()


def _values(logs) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {float(value):.4g}" for name, value in logs.items())


class Speed(keras.callbacks.Callback):
    """Adds learning rate, images/s and seconds of training to the log of each epoch; put it first.

    Args:
        images: images trained on in an epoch, on all devices together.
    """

    def __init__(self, images: int):
        super().__init__()
        self.images = images

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        wall, cpu = self.began
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        logs["seconds"] = time.perf_counter() - wall
        logs["cpu_seconds"] = time.process_time() - cpu
        logs["images_per_second"] = self.images / logs["seconds"]


class Diverged(ValueError):
    """The loss is NaN or infinite, or has returned to that of guessing after it was far below."""


def label_loss(logs: Mapping[str, float]) -> float:
    """The loss against the labels: the whole one, but for a teacher's part of it.

    Args:
        logs: of an epoch, or a row of the log.
    """
    return logs.get("student_loss", logs["loss"])


class StopWhenDiverged(keras.callbacks.Callback):
    """Stops a run with an error when its loss diverges.

    A loss that is NaN or infinite stops the run before a checkpoint of it is written. So does a
    collapse: the mean loss was below three quarters of ln(classes), the loss of guessing, and is
    then back at ln(classes) for three epochs in a row. This happened to PVT-Large at a learning
    rate of 1e-3 without clipping (whai362/PVT, issue 6). The console reports the first of these
    epochs. A loss that was never so low, as with two classes or strong augmentation, does not count
    as a collapse. With a teacher, the loss against the labels is used.

    Args:
        classes: number of classes, 2 or more; None: no check for a collapse.
        losses: mean losses of earlier epochs, when a run is resumed, see `label_loss`.
        every: steps from one check of the loss to the next; each check waits for the device.
        tells: whether this process reports epochs that look like a collapse.
    Raises:
        Diverged: in `fit`, when the loss has diverged; the message says what to try.
    """

    # Shares of ln(classes): above the first a model guesses, below the second it has learnt.
    guessed, learnt = 0.98, 0.75
    epochs_in_a_row = 3

    def __init__(
        self,
        classes: int | None = None,
        losses: Sequence[float] = (),
        every: int = 50,
        tells: bool = True,
    ):
        super().__init__()
        self.guessing = math.log(classes) if classes else math.inf
        self.every, self.tells = every, tells
        self.best, self.in_a_row = math.inf, 0
        for loss in losses:
            self._count(loss)

    def on_train_batch_end(self, batch, logs=None):
        if batch % self.every == 0:
            self._check_number(logs["loss"], f"step {batch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        self._check_number(logs["loss"], f"epoch {epoch + 1}")
        loss = label_loss(logs)
        self._count(loss)
        if not self.in_a_row:
            return
        where = f"epoch {epoch + 1}: the loss is {loss:.3f}, guessing costs {self.guessing:.3f}"
        if self.in_a_row >= self.epochs_in_a_row:
            raise Diverged(
                f"collapsed by {where}, as in the {self.in_a_row - 1} epochs before, after it had "
                f"been {self.best:.3f}. Start again with a lower learning rate, clipping, or more "
                "drop path; or resume anyway with --no-collapse-check."
            )
        if self.tells and self.in_a_row == 1:
            print(
                f"{where}; it had been {self.best:.3f}. The run ends after {self.epochs_in_a_row} "
                "such epochs in a row (unless --no-collapse-check)",
                flush=True,
            )

    def _count(self, loss: float) -> None:
        """Count the epochs in a row that look like a collapse, by the loss of one more."""
        fell = self.best < self.learnt * self.guessing < math.inf
        self.in_a_row = self.in_a_row + 1 if fell and loss > self.guessed * self.guessing else 0
        self.best = min(self.best, loss)

    def _check_number(self, loss, when: str) -> None:
        if not math.isfinite(float(loss)):
            raise Diverged(
                f"the loss is {float(loss)} in {when}. Lower the learning rate, clip gradients, or "
                "take bfloat16 or float32 where it is float16; the last checkpoint is whole."
            )


class AveragedWeights(keras.callbacks.SwapEMAWeights):
    """Uses the averaged weights while a model is evaluated, then restores the others bit by bit.

    On TensorFlow, Keras 3.15.1 swaps the weights by adding and subtracting, which rounds. Each
    evaluation would change the weights, so a resumed run, which does not repeat evaluations, would
    differ.
    """

    def _tf_swap_variables(self, optimizer):
        self._backend_swap_variables(optimizer)
