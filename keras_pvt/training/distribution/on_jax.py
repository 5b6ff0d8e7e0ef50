"""JAX: one program over all devices of all processes, by `keras.distribution`."""

import collections
from collections.abc import Iterable

import jax
import keras
import numpy as np
from jax.experimental import multihost_utils

from keras_pvt.training.distribution.layout_map import pvt_layout_map
from keras_pvt.training.distribution.strategy import Strategy

_AXIS = "batch"


class DataParallel(Strategy):
    """Each device has all weights and takes a part of the batch."""

    name = "data-parallel"

    def __init__(self):
        self.devices, self.process, self.processes = (
            jax.device_count(),
            jax.process_index(),
            jax.process_count(),
        )
        self.distribution = self._distribution()

    def _distribution(self):
        # Each process reads a part of the samples of its own; Keras has none to divide.
        return keras.distribution.DataParallel(auto_shard_dataset=False)

    def scope(self):
        # XLA makes a program for a mesh of one device that takes five times as long on a CPU.
        return self.distribution.scope() if self.devices > 1 else super().scope()

    def barrier(self):
        multihost_utils.sync_global_devices(__name__)

    def gathered(self, numbers):
        # As halves, since JAX has no integers of 64 bits by default.
        halves = np.array(numbers, "int64").view("uint32")
        every = multihost_utils.process_allgather(halves)
        return np.asarray(every).reshape(self.processes, -1).view("int64")

    def close(self):
        if jax.distributed.is_initialized():
            jax.distributed.shutdown()


class FullySharded(DataParallel):
    """Each device has a part of the batch, of the weights and of the optimizer's moments.

    Weights are brought together where they are used, and gradients are summed to the device
    that has the part. XLA puts that in.

    Raises:
        ValueError: several processes. None would have all weights, and Keras could not save
            them.
    """

    name = "fsdp"

    def _distribution(self):
        if self.processes > 1:
            raise ValueError(
                f"fsdp keeps weights in one process, where Keras can save them; there are "
                f"{self.processes}. Take data-parallel: weights and moments of the largest "
                "PVT are 0.7 GB."
            )
        mesh = keras.distribution.DeviceMesh((self.devices,), [_AXIS])
        return _Sharded(layout_map=pvt_layout_map(mesh), auto_shard_dataset=False)


class _Sharded(keras.distribution.ModelParallel):
    """Keeps weights whole that do not divide over the devices, for which JAX has no layout."""

    def get_variable_layout(self, variable):
        layout = super().get_variable_layout(variable)
        parts = self.device_mesh.devices.size
        sizes = zip(variable.shape, layout.axes, strict=True)
        if any(axis is not None and size % parts for size, axis in sizes):
            return keras.distribution.TensorLayout((None,) * len(layout.axes), self.device_mesh)
        return layout


STRATEGIES = {strategy.name: strategy for strategy in (DataParallel, FullySharded)}


def automatic() -> str:
    """See `choose`."""
    return DataParallel.name if jax.device_count() > 1 else Strategy.name


def bytes_held(variables: Iterable[keras.Variable]) -> dict[str, int]:
    """Bytes of variables that each device of this process holds, by its name."""
    held: collections.Counter[str] = collections.Counter()
    for variable in variables:
        for shard in variable.value.addressable_shards:
            held[str(shard.device)] += shard.data.nbytes
    return dict(held)
