"""What a training run shows while it works."""

from __future__ import annotations

import sys
import time
import typing

import keras

if typing.TYPE_CHECKING:
    import rich.progress


class Progress(keras.callbacks.Callback):
    """A bar with loss, accuracy, rate, images/s and remaining time; a line for each epoch.

    The bar is drawn on terminals only. A value of the device is fetched four times a second.

    Args:
        steps: in an epoch.
        batch_size: images of a step, over all devices.
    """

    def __init__(self, steps: int, batch_size: int):
        super().__init__()
        self.steps, self.batch_size = steps, batch_size
        self.bar: rich.progress.Progress | None = None

    def on_train_begin(self, logs=None):
        from rich import progress

        if sys.stderr.isatty():
            self.bar = progress.Progress(
                progress.TextColumn("{task.description}"),
                progress.BarColumn(),
                progress.MofNCompleteColumn(),
                progress.TextColumn("{task.fields[values]}"),
                progress.TextColumn("{task.fields[speed]:.0f} images/s, left"),
                progress.TimeRemainingColumn(),
            )
            self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self.began = self.shown = time.perf_counter()
        if self.bar is not None:
            total = self.params["epochs"]
            name = f"epoch {epoch + 1}/{total}"
            self.task = self.bar.add_task(name, total=self.steps, values="", speed=0.0)

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self.bar is None or now - self.shown < 0.25:
            return
        self.shown = now
        speed = (batch + 1) * self.batch_size / (now - self.began)
        values = {name: logs[name] for name in ("loss", "accuracy") if name in logs}
        values["rate"] = self.model.optimizer.learning_rate
        self.bar.update(self.task, completed=batch + 1, values=_values(values), speed=speed)

    def on_epoch_end(self, epoch, logs=None):
        if self.bar is not None:
            self.bar.remove_task(self.task)
        total = self.params["epochs"]
        print(f"epoch {epoch + 1}/{total}: {_values(logs)}", flush=True)

    def on_train_end(self, logs=None):
        if self.bar is not None:
            self.bar.stop()


def _values(logs) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {float(value):.4g}" for name, value in logs.items())


class Speed(keras.callbacks.Callback):
    """Adds learning rate and images/s of training to the log of each epoch; put it first.

    Args:
        images: trained on in an epoch, over all devices.
    """

    def __init__(self, images: int):
        super().__init__()
        self.images = images

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter()
        self.seconds = None

    def on_test_begin(self, logs=None):  # validation follows on the last step
        self.seconds = time.perf_counter() - self.began

    def on_epoch_end(self, epoch, logs=None):
        seconds = self.seconds or time.perf_counter() - self.began
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        logs["images_per_second"] = self.images / seconds
