"""The one place that may ask which backend runs, and the numerics that layers share."""

import functools
import math

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()
_SQRT_HALF = 0.7071067811865476
# erf(x) = x p(x**2) / q(x**2) within 2e-8 for |x| <= 3.8, beyond which float32 has it at 1;
# fitted for this package (weighted least squares, repeated until the errors are level).
_ERF_LIMIT = 3.8
_ERF_P = (
    1.12837907,
    0.188115806,
    0.0525472963,
    0.00369359933,
    0.000287999532,
    2.13214031e-06,
)
_ERF_Q = (1.0, 0.500045549, 0.113254748, 0.0148228991, 0.00115374249, 3.90979443e-05)


def run(layer, x, **kwargs):
    """`layer(x, **kwargs)`, for a built layer inside another of the same dtype policy."""
    return layer.call(x, **kwargs) if _is_bare(layer, x) else layer(x, **kwargs)


def dense(layer, x):
    """`layer(x)`, for a built Dense layer with a bias and no activation."""
    if not _is_bare(layer, x):
        return layer(x)
    # One kernel instead of two: a bias that is added apart costs a pass over the result.
    import torch.nn.functional as F

    kernel = ops.convert_to_tensor(layer.kernel, x.dtype)
    return F.linear(x, kernel.T, ops.convert_to_tensor(layer.bias, x.dtype))


def cell_conv(layer, x):
    """`layer(x)`, for a built Conv2D layer whose stride is its kernel, on a map."""
    _, height, width, channels = x.shape
    static = isinstance(height, int) and isinstance(width, int)
    if not (static and _is_bare(layer, x)):
        return layer(x)
    # A matrix product: torch's convolution would first copy the kernel to another layout.
    import torch.nn.functional as F

    side = layer.kernel_size[0]
    rows, columns = height // side, width // side
    x = x[:, : rows * side, : columns * side]
    x = x.reshape(-1, rows, side, columns, side, channels).transpose(2, 3)
    x = x.reshape(-1, rows, columns, side * side * channels)
    kernel = ops.convert_to_tensor(layer.kernel, x.dtype).reshape(x.shape[-1], -1)
    return F.linear(x, kernel.T, ops.convert_to_tensor(layer.bias, x.dtype))


def _is_bare(layer, x):
    """Whether `layer(x)` does nothing that matters but `layer.call(x)`.

    torch runs each layer as it comes, and what Keras does around a call then costs as much as
    the arithmetic of a small batch; elsewhere it costs only while the graph is traced. It has
    to be done where it casts, quantizes, rematerialises, or runs a hook or a replaced `call`.
    """
    if BACKEND != "torch":
        return False
    import torch

    return (
        isinstance(x, torch.Tensor)
        and keras.backend.standardize_dtype(x.dtype) == layer.compute_dtype
        and layer.quantization_mode is None
        and layer._remat_mode is None
        and "call" not in vars(layer)
        and not (layer._forward_hooks or layer._forward_pre_hooks)
        and not (layer._backward_hooks or layer._backward_pre_hooks)
    )


def layer_norm(layer, x):
    """`layer(x)`, for a built LayerNormalization over the last axis."""
    if BACKEND != "tensorflow":
        return run(layer, x)
    # Fewer passes over memory than Keras's own form, and fewer operations when converted to
    # TFLite, which quantizes them better.
    dtype = layer.compute_dtype
    x = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
    x = x - ops.mean(x, axis=-1, keepdims=True)
    inverse = ops.rsqrt(ops.mean(x * x, axis=-1, keepdims=True) + layer.epsilon)
    x = x * inverse * ops.cast(layer.gamma, x.dtype) + ops.cast(layer.beta, x.dtype)
    return ops.cast(x, dtype)


def to_rows(x):
    """Map or tokens `(..., C)` to rows `(cells, C)`, or as they are; `from_rows` undoes it.

    TensorFlow fuses bias and GELU into a matrix product only where that has rank 2.
    """
    return ops.reshape(x, (-1, x.shape[-1])) if BACKEND == "tensorflow" else x


def from_rows(rows, x):
    """What `to_rows(x)` has become, in the shape of `x` but for the channels."""
    if BACKEND != "tensorflow":
        return rows
    shape = [-1 if size is None else size for size in x.shape[:-1]]
    if shape.count(-1) > 1:
        shape = ops.shape(x)[:-1]
    return ops.reshape(rows, (*shape, rows.shape[-1]))


def gelu(x):
    """Exact (erf) GELU of a float tensor, same shape and dtype."""
    if BACKEND == "tensorflow":
        # TensorFlow's own exact GELU lowers to Erfc, which ONNX has no operator for, and
        # only this form of it is fused into the matrix product before.
        return 0.5 * x * (1.0 + ops.erf(x * _SQRT_HALF))
    dtype = keras.backend.standardize_dtype(x.dtype)
    if BACKEND == "jax" and dtype != "float64":
        # XLA's erfc takes three times as long as all else in GELU, and its erf cannot be
        # exported to a SavedModel.
        y = ops.cast(x, "float32")
        return ops.cast(0.5 * y * (1.0 + _jax_erf()(y * _SQRT_HALF)), dtype)
    return ops.gelu(x, approximate=False)


@functools.cache
def _jax_erf():
    """The error function in float32 as plain arithmetic, with its derivative in closed form."""
    import jax
    import jax.numpy as jnp

    @jax.custom_jvp
    def erf(x):
        x = jnp.clip(x, -_ERF_LIMIT, _ERF_LIMIT)
        square = x * x
        return x * _polynomial(_ERF_P, square) / _polynomial(_ERF_Q, square)

    # Differentiating the quotient would keep every one of its terms until the backward pass.
    erf.defjvps(lambda tangent, _, x: tangent * (2 / math.sqrt(math.pi)) * jnp.exp(-x * x))
    return erf


def _polynomial(coefficients, x):
    """The value at `x`, by Horner's rule; coefficients of the lowest power first."""
    value = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value


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


def attention(query, key_value, num_heads, batch, drop=None, need_scores=False):
    """Scaled dot-product attention of several heads.

    Args:
        query: `(..., C)`, whose leading axes hold the images, then their queries.
        key_value: `(..., 2 * C)`, keys then values; the leading axes likewise.
        num_heads: heads, which divide C.
        batch: number of images.
        drop: layer that drops attention weights, or None.
        need_scores: whether the weights are wanted.
    Returns:
        The result, in the shape of `query`, and the weights `(B, heads, queries, keys)`, or
        None where they were not asked for.
    """
    channels = query.shape[-1]
    scale = (channels // num_heads) ** -0.5
    if BACKEND == "torch" and drop is None and not need_scores:
        # torch's fused kernel never holds the weights, which is faster at every size.
        return _torch_attention(query, key_value, num_heads, batch, scale), None
    # Scaling the queries is cheaper than scaling the weights where keys are many.
    q = _split_heads(query * scale, num_heads, batch)
    k = _split_heads(key_value[..., :channels], num_heads, batch)
    v = _split_heads(key_value[..., channels:], num_heads, batch)
    scores = softmax(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))))
    weights = scores if drop is None else drop(scores, training=True)
    y = ops.transpose(ops.matmul(weights, v), (0, 2, 1, 3))  # (B, queries, heads, C / heads)
    return ops.reshape(y, ops.shape(query)), scores


def _split_heads(x, num_heads, batch):
    """`(..., C)` to `(B, heads, N, C / heads)`."""
    x = ops.reshape(x, (batch, -1, num_heads, x.shape[-1] // num_heads))
    return ops.transpose(x, (0, 2, 1, 3))


def _torch_attention(query, key_value, num_heads, batch, scale):
    import torch.nn.functional as F

    channels = query.shape[-1]
    q = query.reshape(batch, -1, num_heads, channels // num_heads)
    k, v = key_value.reshape(batch, -1, 2, num_heads, channels // num_heads).unbind(2)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))  # (B, heads, N, C / heads)
    y = F.scaled_dot_product_attention(q, k, v, scale=scale)
    return y.transpose(1, 2).reshape(query.shape)
