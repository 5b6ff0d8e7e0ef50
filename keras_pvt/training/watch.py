"""Ending a run whose loss shows that nothing more will come of it."""

import math
from collections.abc import Sequence

import keras


class Diverged(ValueError):
    """The loss is no number, or the model has forgotten what it had learnt."""


class StopWhenDiverged(keras.callbacks.Callback):
    """End the run by an error, before a checkpoint of what is left of it is written.

    A collapse is a mean loss of an epoch that is back at ln(classes), which is what guessing costs,
    after it had been below nine tenths of that. It was seen with PVT-Large at a rate of 1e-3
    without clipping (whai362/PVT, issue 6).

    Args:
        classes: number of classes, 2 or more; None looks for a collapse of no loss.
        losses: mean losses of the epochs before, where a run goes on.
        every: steps from one look at the loss to the next; each waits for the device.
    Raises:
        Diverged: which says what to try.
    """

    def __init__(self, classes: int | None = None, losses: Sequence[float] = (), every: int = 50):
        super().__init__()
        self.guessing = math.log(classes) if classes else math.inf
        self.best = min(losses, default=math.inf)
        self.every = every

    def on_train_batch_end(self, batch, logs=None):
        if batch % self.every == 0:
            self._check_number(logs["loss"], f"step {batch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        loss = logs["loss"]
        self._check_number(loss, f"epoch {epoch + 1}")
        if self.best < 0.9 * self.guessing and 0.98 * self.guessing < loss:
            raise Diverged(
                f"collapsed in epoch {epoch + 1}: the loss is {loss:.3f}, that of guessing "
                f"({self.guessing:.3f}), after it had been {self.best:.3f}. Go on from an earlier "
                "checkpoint with a lower learning rate, clipping, or more drop path."
            )
        self.best = min(self.best, loss)

    def _check_number(self, loss, when: str) -> None:
        if not math.isfinite(float(loss)):
            raise Diverged(
                f"the loss is {float(loss)} in {when}. Lower the learning rate, clip gradients, or "
                "take bfloat16 or float32 where it is float16; the last checkpoint is whole."
            )
