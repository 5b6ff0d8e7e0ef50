"""The one place that may ask which backend runs, and the numerics that layers share."""

import keras
import numpy as np
from keras import ops

_SQRT_HALF = 0.7071067811865476


def gelu(x):
    """Exact (erf) GELU of a float tensor, same shape and dtype."""
    if keras.backend.backend() == "tensorflow":
        # TensorFlow's own exact GELU lowers to Erfc, which ONNX has no operator for.
        return 0.5 * x * (1.0 + ops.erf(x * _SQRT_HALF))
    return ops.gelu(x, approximate=False)


def softmax(x):
    """Softmax over the last axis, computed in float32 at least, in the dtype of `x`."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    if isinstance(x.shape[-1], int) and x.shape[-1] == 1:
        return ops.ones_like(x)  # one key, as in a 32-pixel image; Keras would warn
    if dtype in ("float16", "bfloat16"):
        return ops.cast(ops.softmax(ops.cast(x, "float32"), axis=-1), dtype)
    return ops.softmax(x, axis=-1)


def resize_grid(grid, height, width):
    """Bilinear resize of a grid to `height` x `width` cells, by two matrix products.

    Half-pixel centres, no antialias when shrinking: torch's `interpolate(mode="bilinear",
    align_corners=False)`. Products work where a library's resize does not: sizes that are
    only known at run time, on every backend and in every export format.

    Args:
        grid: float tensor `(1, gh, gw, C)`; gh and gw are static.
        height: integer, or a scalar tensor.
        width: integer, or a scalar tensor.
    Returns:
        `(1, height, width, C)`, in the dtype of `grid`.
    """
    dtype = keras.backend.standardize_dtype(grid.dtype)
    _, grid_height, grid_width, _ = grid.shape
    rows = _interpolation(height, grid_height, dtype)  # (height, gh)
    columns = _interpolation(width, grid_width, dtype)  # (width, gw)
    grid = ops.transpose(grid, (0, 3, 1, 2))  # (1, C, gh, gw)
    grid = ops.matmul(ops.reshape(rows, (1, 1, -1, grid_height)), grid)
    columns = ops.reshape(ops.transpose(columns), (1, 1, grid_width, -1))
    return ops.transpose(ops.matmul(grid, columns), (0, 2, 3, 1))


def _interpolation(size, grid_size, dtype):
    """The `(size, grid_size)` matrix whose rows weigh grid cells linearly."""
    cells = np.arange(grid_size)
    if isinstance(size, int):
        centres = (np.arange(size) + 0.5) * (grid_size / size) - 0.5
        centres = np.clip(centres, 0, grid_size - 1)
        weights = np.maximum(0, 1 - np.abs(centres[:, None] - cells))
        return ops.convert_to_tensor(weights.astype(dtype))
    # The explicit start, and the size as a sum of ones, are what symbolic sizes of every
    # backend and exporter can trace.
    steps = ops.arange(0, size, dtype=dtype)
    scale = grid_size / ops.sum(ops.ones_like(steps), keepdims=True)
    centres = ops.clip((steps + 0.5) * scale - 0.5, 0.0, grid_size - 1.0)
    distances = ops.expand_dims(centres, 1) - ops.convert_to_tensor(cells[None].astype(dtype))
    return ops.relu(1.0 - ops.abs(distances))


def attention(query, key, value, drop=None, need_scores=False):
    """Scaled dot-product attention.

    Args:
        query: `(B, heads, queries, D)`.
        key: `(B, heads, keys, D)`.
        value: `(B, heads, keys, D)`.
        drop: layer that drops attention weights, or None.
        need_scores: whether the weights are wanted.
    Returns:
        The result `(B, heads, queries, D)`, and the weights `(B, heads, queries, keys)`, or
        None where they were not asked for.
    """
    scale = float(query.shape[-1]) ** -0.5
    if keras.backend.backend() == "torch" and drop is None and not need_scores:
        # torch's fused kernel never holds the weights, which is faster at every size.
        import torch.nn.functional as F

        return F.scaled_dot_product_attention(query, key, value, scale=scale), None
    # Scaling the queries is cheaper than scaling the weights where keys are many.
    scores = ops.matmul(query * scale, ops.transpose(key, (0, 1, 3, 2)))
    scores = softmax(scores)
    weights = scores if drop is None else drop(scores, training=True)
    return ops.matmul(weights, value), scores
