"""Resizing of maps, as torch's `interpolate` does it."""

import keras
import numpy as np
from keras import ops

from keras_pvt.ops.backend import BACKEND, engine


def linear_weights(size: int, cells: int, align_corners: bool = False) -> np.ndarray:
    """The `(size, cells)` float64 matrix whose rows weigh cells linearly.

    torch's `interpolate(mode="bilinear")` along one axis, with no antialias when shrinking.

    Args:
        size: of the result.
        cells: of what is interpolated.
        align_corners: the first and last centres coincide; otherwise the outer edges do
            (half-pixel centres).
    """
    if align_corners:
        centres = np.arange(size) * ((cells - 1) / max(1, size - 1))
    else:
        centres = np.clip((np.arange(size) + 0.5) * (cells / size) - 0.5, 0, cells - 1)
    return np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(cells)))


def resize_grid(grid, height, width, align_corners=False):
    """Bilinear resize of a grid to `height` x `width` cells.

    No antialias when shrinking, as upstream. But for torch's, a library's resize does not work
    with sizes that are only known at run time in every export format; matrix products do.

    Args:
        grid: float tensor `(1, gh, gw, C)`; gh and gw are static.
        height: integer, or a scalar tensor.
        width: integer, or a scalar tensor.
        align_corners: see `linear_weights`.
    Returns:
        `(1, height, width, C)`, in the dtype of `grid`.
    """
    if BACKEND == "torch":
        return engine.resize(grid, height, width, align_corners=align_corners)
    dtype = keras.backend.standardize_dtype(grid.dtype)
    _, grid_height, grid_width, channels = grid.shape
    rows = _interpolation(height, grid_height, dtype, align_corners)  # (height, gh)
    columns = _interpolation(width, grid_width, dtype, align_corners)  # (width, gw)
    grid = ops.matmul(rows, ops.reshape(grid, (grid_height, grid_width * channels)))
    grid = ops.reshape(grid, (1, -1, grid_width, channels))  # (1, height, gw, C)
    return ops.matmul(ops.reshape(columns, (1, 1, -1, grid_width)), grid)


def resize(x, height, width, interpolation="bilinear", align_corners=False):
    """Resize of maps, as torch's `interpolate` does it.

    Args:
        x: float tensor `(B, H, W, C)`.
        height: integer, or what `ops.shape` gives for a size of run time.
        width: the same.
        interpolation: "bilinear", without antialias, or "nearest", which takes the cell
            `floor(i * H / height)`.
        align_corners: see `linear_weights`; for "bilinear" only.
    Returns:
        `(B, height, width, C)`, in the dtype of `x`.
    """
    sizes = ops.shape(x)[1:3]
    if all(isinstance(size, int) for size in (height, width, *sizes)) and sizes == (height, width):
        return x
    if BACKEND == "torch":
        return engine.resize(x, height, width, interpolation, align_corners)
    dtype = keras.backend.standardize_dtype(x.dtype)
    if BACKEND == "tensorflow" and dtype != "float64":
        return engine.resize(x, height, width, interpolation, align_corners)
    if interpolation == "nearest":
        for axis, size in ((1, height), (2, width)):
            x = ops.take(x, ops.arange(0, size) * ops.shape(x)[axis] // size, axis=axis)
        return x
    x = ops.einsum("hi,bijc->bhjc", _interpolation(height, sizes[0], dtype, align_corners), x)
    return ops.einsum("wj,bhjc->bhwc", _interpolation(width, sizes[1], dtype, align_corners), x)


def _interpolation(size, cells, dtype, align_corners):
    """`linear_weights`, also for sizes of run time."""
    if isinstance(size, int) and isinstance(cells, int):
        return ops.convert_to_tensor(linear_weights(size, cells, align_corners).astype(dtype))
    # The explicit start, and the size as a sum of ones, are what symbolic sizes of every
    # backend and exporter can trace.
    steps = ops.arange(0, size, dtype=dtype)
    count = ops.sum(ops.ones_like(steps), keepdims=True)
    if isinstance(cells, int):
        cell, last = ops.convert_to_tensor(np.arange(cells).astype(dtype)), cells - 1.0
    else:
        cell = ops.arange(0, cells, dtype=dtype)
        last = ops.sum(ops.ones_like(cell), keepdims=True) - 1.0
    if align_corners:
        centres = steps * (last / ops.maximum(1.0, count - 1.0))
    else:
        centres = ops.clip((steps + 0.5) * ((last + 1.0) / count) - 0.5, 0.0, last)
    return ops.relu(1.0 - ops.abs(ops.expand_dims(centres, 1) - ops.expand_dims(cell, 0)))
