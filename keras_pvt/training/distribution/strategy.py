"""The interface of all strategies, and training on one device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import keras
import numpy as np


class StrategyCallback(keras.callbacks.Callback):
    """Makes `fit` of several devices and processes what it is on one; see `Strategy.callback`.

    The logs that later callbacks see are those of all processes together.
    """

    def __init__(self, strategy: Strategy, weight: float, val_weight: float):
        super().__init__()
        self.strategy, self.weight, self.val_weight = strategy, weight, val_weight

    def on_train_begin(self, logs=None):
        self.varied = False
        self.strategy.prepare(self.model.optimizer)

    def on_epoch_begin(self, epoch, logs=None):
        # Only now, when other callbacks have restored what they do at the begin of training:
        # it is the seeds of one device that were saved.
        if not self.varied:
            self.strategy.vary_seeds(self.model)
            self.varied = True

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.strategy.share(logs, self.weight, self.val_weight))


def seed_states(model: keras.Model) -> list[keras.Variable]:
    """The states `[seed, draws so far]` of a model's seed generators."""
    return [v for v in model.variables if v.path.endswith("seed_generator_state")]


def varied(state: np.ndarray, number: int) -> np.ndarray:
    """The state of a seed generator for one device; the first keeps its own.

    Keras's draws on torch depend on the sum of seed and number of draws, so that seeds close to
    one another would give the same draws some steps later.

    Args:
        state: integers `(2,)`, of the first device.
        number: of the device, from 0.
    """
    seed, draws = (int(value) for value in state)
    if number:
        seed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0]) >> 1  # an int32
    return np.array([seed, draws])


class Strategy:
    """Training on one device in one process. The other strategies give the same result.

    Attributes:
        name: the name that `choose` takes.
        devices: number of devices that share each batch, of all processes together.
        process: number of this process, from 0.
        processes: number of processes that train together.
    """

    name = "none"
    devices = 1
    process = 0
    processes = 1

    @property
    def chief(self) -> bool:
        """Whether this is the one process that writes files and prints."""
        return self.process == 0

    def scope(self) -> contextlib.AbstractContextManager:
        """The context in which to build, compile, fit and evaluate the model.

        Returns:
            A context manager.
        """
        return contextlib.nullcontext()

    def replicate(self, model: keras.Model) -> keras.Model:
        """The model to compile and fit; most often the model itself.

        Saving and loading it saves and loads the model. Freeze layers before this call.

        Args:
            model: the built model.
        Returns:
            The model, or a wrapper around it.
        """
        return model

    def callback(self, weight: float = 1.0, val_weight: float = 1.0) -> keras.callbacks.Callback:
        """The callback that `fit` needs under this strategy; put it before all others.

        Args:
            weight: samples that this process trains on in an epoch.
            val_weight: samples that this process validates on.
        Returns:
            The callback.
        """
        return StrategyCallback(self, weight, val_weight)

    def check_batch(self, size: int) -> int:
        """The part of a batch that this process has to hand to `fit`.

        Args:
            size: samples in a batch, over all devices of all processes.
        Returns:
            `size / processes`.
        Raises:
            ValueError: the batch does not divide over the devices.
        """
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"a batch is an integer of at least 1; got {size!r}.")
        below = size // self.devices * self.devices
        if below != size:
            nearest = [str(n) for n in (below, below + self.devices) if n]
            raise ValueError(
                f"a batch of {size} does not divide over {self.devices} devices "
                f"({self.name}); the nearest that does has {' or '.join(nearest)}."
            )
        return size // self.processes

    def share(
        self, logs: dict[str, float], weight: float = 1.0, val_weight: float = 1.0
    ) -> dict[str, float]:
        """The logs of an epoch, averaged over all processes; every process has to call this.

        Args:
            logs: logs of this process.
            weight: samples of this process that the training logs are of.
            val_weight: samples of this process that the logs with "val_" are of.
        Returns:
            The logs of all processes together.
        """
        return logs

    def prepare(self, optimizer: keras.optimizers.Optimizer) -> None:
        """Make an optimizer work as on one device; the callback does this.

        Args:
            optimizer: of the compiled model.
        """

    def vary_seeds(self, model: keras.Model) -> None:
        """Let each device draw its own random numbers; the callback does this, once a `fit`.

        Args:
            model: the compiled model.
        """

    def barrier(self) -> None:
        """Wait until every process is here."""

    @contextlib.contextmanager
    def chief_first(self) -> Iterator[None]:
        """A context that the others enter when the chief has left it, for what is written once.

        Returns:
            A context manager.
        """
        if not self.chief:
            self.barrier()
        try:
            yield
        finally:  # after an error too, which the others then meet themselves
            if self.chief:
                self.barrier()

    def gathered(self, numbers: Sequence[int]) -> np.ndarray:
        """Numbers of every process; every process has to call this.

        Args:
            numbers: N of this process, each below 2^63.
        Returns:
            int64 `(processes, N)`.
        """
        return np.array([numbers], "int64")

    def close(self) -> None:
        """Let go of the other processes, at the end of the program."""
