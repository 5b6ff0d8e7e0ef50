"""Pooling of maps to a number of cells that does not depend on theirs."""

import keras
import numpy as np
from keras import ops


def pool(x, size: int):
    """Means over `size` x `size` parts of maps, as torch's `adaptive_avg_pool2d` has them.

    Part o of n cells is of cells floor(o * n / size) to ceil((o + 1) * n / size) - 1, so parts
    overlap where `size` does not divide n. Matrix products do it for every size and exporter;
    Keras 3.15.1's adaptive pooling gives NaN on JAX, and TensorFlow's needs static sizes.

    Args:
        x: float tensor `(B, H, W, C)`.
        size: cells a side of the result.
    Returns:
        `(B, size, size, C)`, in the dtype of `x`, computed in float32 at least.
    """
    dtype = keras.backend.standardize_dtype(x.dtype)
    exact = keras.backend.result_type(dtype, "float32")
    batch, height, width, _ = ops.shape(x)
    channels = x.shape[-1]
    x = ops.matmul(_means(size, width, exact), ops.cast(x, exact))  # (B, H, size, C)
    x = ops.reshape(x, (batch, height, size * channels))
    x = ops.matmul(_means(size, height, exact), x)
    return ops.cast(ops.reshape(x, (batch, size, size, channels)), dtype)


def _means(size: int, cells, dtype):
    """The `(size, cells)` matrix whose rows are the means over a part, for sizes of run time too.

    Cell i is in part o if size * (i + 1) > o * cells and size * i < (o + 1) * cells. All are whole
    numbers, so clipping the differences to 0..1 says it without a condition.
    """
    part = np.arange(size, dtype=dtype)[:, None]
    if isinstance(cells, int):
        cell, count = np.arange(cells, dtype=dtype), np.asarray(cells, dtype)
        return ops.convert_to_tensor(_rows(np.clip, np.sum, part, cell, count, size), dtype)
    # The explicit start, and the count as a sum of ones, are what symbolic sizes of every
    # backend and exporter can trace.
    cell = ops.arange(0, cells, dtype=dtype)
    count = ops.sum(ops.ones_like(cell), keepdims=True)
    return _rows(ops.clip, ops.sum, ops.convert_to_tensor(part), cell, count, size)


def _rows(clip, sum_of, part, cell, count, size):
    inside = clip(size * (cell + 1) - part * count, 0, 1)
    inside = inside * clip((part + 1) * count - size * cell, 0, 1)
    return inside / sum_of(inside, axis=1, keepdims=True)
