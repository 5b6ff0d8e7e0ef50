"""Measuring a model during training, in some epochs only."""

import time
from collections.abc import Callable, Sequence

import keras


class Measure(keras.callbacks.Callback):
    """After an epoch, what a function measures in the log; and the seconds that it all took.

    Args:
        names: of what is measured.
        measure: gives the values by their names.
        epochs: of the run; the last one is always measured.
        every: epochs from one time to the next; NaN is logged between them.
    """

    def __init__(
        self,
        names: Sequence[str],
        measure: Callable[[], dict[str, float]],
        epochs: int,
        every: int = 1,
    ):
        super().__init__()
        self.names, self.measure = names, measure
        self.epochs, self.every = epochs, every

    def on_epoch_begin(self, epoch, logs=None):
        self.begin = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        results = dict.fromkeys(self.names, float("nan"))
        if (epoch + 1) % self.every == 0 or epoch + 1 == self.epochs:
            results = self.measure()
            print("\n" + ", ".join(f"{key} {value:.3f}" for key, value in results.items()))
        wall, cpu = self.begin
        logs["seconds"] = time.perf_counter() - wall
        logs["cpu_seconds"] = time.process_time() - cpu
        logs.update(results)
