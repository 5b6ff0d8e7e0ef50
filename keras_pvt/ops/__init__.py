"""The one place that may ask which backend runs, and the numerics that layers share."""

import keras
import numpy as np
from keras import ops

from keras_pvt.ops.interpolation import linear_weights

BACKEND = keras.backend.backend()
if BACKEND == "torch":
    from keras_pvt.ops import on_torch
elif BACKEND == "jax":
    from keras_pvt.ops import on_jax
else:
    from keras_pvt.ops import on_tensorflow

# Where a program can have a part that NumPy computes. JAX waits forever for one on a single core,
# and in programs of several devices.
CALLS_HOST = BACKEND != "jax"
# Whether a model with such a part, where there is one, can be compiled by XLA or torch.
COMPILES_HOST_CALLS = BACKEND != "tensorflow"
_SQRT_HALF = 0.7071067811865476
# Score of what is not attended to: its weight is 0, and float16 holds it.
_HIDDEN = -6e4


def run(layer, x, **kwargs):
    """`layer(x, **kwargs)`, for a built layer inside another of the same dtype policy."""
    return layer.call(x, **kwargs) if _is_bare(layer, x) else layer(x, **kwargs)


def dense(layer, x):
    """`layer(x)`, for a built Dense layer without activation."""
    return on_torch.dense(layer, x) if _is_bare(layer, x) else layer(x)


def patch_conv(layer, x):
    """`layer(x)`, for a built Conv2D layer whose stride is its kernel, on a map."""
    if all(isinstance(side, int) for side in x.shape[1:3]):
        if _is_bare(layer, x):
            return on_torch.patch_conv(layer, x)
        if BACKEND == "jax" and on_jax.is_bare(layer, x):
            return on_jax.patch_conv(layer, x)
    return layer(x)


def layer_norm(layer, x, otherwise=None):
    """`layer(x)`, for a built LayerNormalization over the last axis.

    Args:
        layer: the norm.
        x: float tensor `(..., C)`.
        otherwise: computes it where nothing here does better; by default the layer.
    """
    if BACKEND != "tensorflow":
        return on_torch.layer_norm(layer, x) if _is_bare(layer, x) else (otherwise or layer)(x)
    # Fewer passes over memory than Keras's own form, and fewer operations when converted to
    # TFLite, which quantizes them better.
    dtype = layer.compute_dtype
    x = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
    x = x - ops.mean(x, axis=-1, keepdims=True)
    inverse = ops.rsqrt(ops.mean(x * x, axis=-1, keepdims=True) + layer.epsilon)
    x = x * inverse * ops.cast(layer.gamma, x.dtype) + ops.cast(layer.beta, x.dtype)
    return ops.cast(x, dtype)


def feed_forward(fc1, fc2, x, drop=None):
    """`fc2(gelu(fc1(x)))`, for built Dense layers as `dense` takes them.

    Args:
        fc1: the layer that widens.
        fc2: the layer that narrows.
        x: float tensor `(..., C)`.
        drop: layer that drops features after each of the two, or None.
    """
    if drop is None and _is_bare(fc1, x) and _is_bare(fc2, x):
        return on_torch.feed_forward(fc1, fc2, x)
    if drop is None and BACKEND == "jax" and on_jax.is_bare(fc1, x) and on_jax.is_bare(fc2, x):
        return on_jax.cells_in_parts(lambda part: fc2.call(gelu(fc1.call(part))), x, fc1.units)
    y = gelu(dense(fc1, to_rows(x)))
    y = dense(fc2, y if drop is None else drop(y, training=True))
    return from_rows(y if drop is None else drop(y, training=True), x)


def _is_bare(layer, x) -> bool:
    return BACKEND == "torch" and on_torch.is_bare(layer, x)


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
        return ops.cast(0.5 * y * (1.0 + on_jax.erf(y * _SQRT_HALF)), dtype)
    return ops.gelu(x, approximate=False)


def assign_without_copy(variable, array):
    """Set a variable to an array, which nobody may change or keep from then on.

    Args:
        variable: of Keras, of a floating dtype.
        array: contiguous NumPy array of the variable's shape, float16, float32 or float64.
    """
    if BACKEND == "tensorflow":
        on_tensorflow.assign_without_copy(variable, array)
    else:
        variable.assign(array)


def argmax(x):
    """Index of the largest value along the last axis, int32.

    Keras's looks at the sign of zeros on TensorFlow, which neither TFLite nor ONNX can express.
    """
    if BACKEND == "tensorflow":
        return on_tensorflow.argmax(x)
    return ops.cast(ops.argmax(x, axis=-1), "int32")


def softmax(x):
    """Softmax over the last axis, computed in float32 at least, in the dtype of `x`."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    if isinstance(x.shape[-1], int) and x.shape[-1] == 1:
        return ops.ones_like(x)  # one key, as in a 32-pixel image; Keras would warn
    if dtype in ("float16", "bfloat16"):
        return ops.cast(ops.softmax(ops.cast(x, "float32"), axis=-1), dtype)
    return ops.softmax(x, axis=-1)


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
        return on_torch.resize(grid, height, width, align_corners=align_corners)
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
        return on_torch.resize(x, height, width, interpolation, align_corners)
    dtype = keras.backend.standardize_dtype(x.dtype)
    if BACKEND == "tensorflow" and dtype != "float64":
        return on_tensorflow.resize(x, height, width, interpolation, align_corners)
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


def attention(query, key_value, num_heads, batch, drop=None, need_scores=False, visible=None):
    """Scaled dot-product attention of several heads.

    Args:
        query: `(..., C)`, whose leading axes hold the images, then their queries.
        key_value: `(..., 2 * C)`, keys then values; the leading axes likewise.
        num_heads: heads, which divide C.
        batch: number of images.
        drop: layer that drops attention weights, or None.
        need_scores: whether the weights are wanted.
        visible: boolean `(B, keys)`, at least one of each image True: the keys that are
            attended to. None for all.
    Returns:
        The result, in the shape of `query`, and the weights `(B, heads, queries, keys)`, or
        None where they were not asked for.
    """
    channels = query.shape[-1]
    scale = (channels // num_heads) ** -0.5
    if BACKEND == "torch" and drop is None and not need_scores:
        return on_torch.attention(query, key_value, num_heads, batch, scale, visible), None
    # Scaling the queries is cheaper than scaling the weights where keys are many.
    q = _split_heads(query * scale, num_heads, batch)
    k = _split_heads(key_value[..., :channels], num_heads, batch)
    v = _split_heads(key_value[..., channels:], num_heads, batch)
    k = ops.transpose(k, (0, 1, 3, 2))

    def weigh(q):
        scores = ops.matmul(q, k)
        if visible is not None:
            hidden = ops.cast(_HIDDEN, scores.dtype)
            scores = ops.where(ops.reshape(visible, (batch, 1, 1, -1)), scores, hidden)
        return softmax(scores)

    if BACKEND == "jax" and drop is None and not need_scores:
        scores, width = None, k.shape[-1] * num_heads * batch
        y = on_jax.rows_in_parts(lambda part: ops.matmul(weigh(part), v), q, width)
    else:
        scores = weigh(q)
        y = ops.matmul(scores if drop is None else drop(scores, training=True), v)
    y = ops.transpose(y, (0, 2, 1, 3))  # (B, queries, heads, C / heads)
    return ops.reshape(y, ops.shape(query)), scores


def _split_heads(x, num_heads, batch):
    """`(..., C)` to `(B, heads, N, C / heads)`."""
    if num_heads == 1:  # nothing to transpose, which tf2onnx 1.17 would get wrong
        return ops.reshape(x, (batch, 1, -1, x.shape[-1]))
    x = ops.reshape(x, (batch, -1, num_heads, x.shape[-1] // num_heads))
    return ops.transpose(x, (0, 2, 1, 3))


def class_crossentropy(labels, logits):
    """Crossentropy of classes.

    Args:
        labels: int32 `(...)`, each 0 to K - 1.
        logits: float `(..., K)`, no softmax.
    Returns:
        `(...)`, in the dtype of `logits`.
    """
    if BACKEND == "torch":
        return on_torch.class_crossentropy(labels, logits)
    return ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def take_rows(x, index):
    """Rows of `(B, N)` or `(B, N, C)` by integers `(B, K)`: `(B, K)` or `(B, K, C)`."""
    if BACKEND == "torch":
        return on_torch.take_rows(x, index)
    index = ops.expand_dims(index, -1) if len(x.shape) == 3 else index
    return ops.take_along_axis(x, index, axis=1)


def fixed_point(step, x):
    """Apply a function to a tensor, again and again, until that changes nothing.

    Args:
        step: tensor to tensor of the same shape and dtype.
        x: where to start.
    """
    if BACKEND == "torch" and on_torch.is_exporting():
        return on_torch.fixed_point(step, x)
    return ops.while_loop(
        lambda x, before: ops.any(x != before), lambda x, _: (step(x), x), (step(x), x)
    )[0]


def is_writing_onnx() -> bool:
    """Whether torch writes an ONNX file of what is called, so that it may have ONNX's operators."""
    return BACKEND == "torch" and on_torch.is_writing_onnx()


def onnx_roi_align(maps, boxes, level, size: int, finest: int):
    """`keras_pvt.detection.ops.roi_align` by ONNX's RoiAlign, for a file that is being written.

    Args:
        maps, boxes, size, finest: as there.
        level: which of the maps each box is looked at in, int tensor `(B, N)`.
    """
    return on_torch.onnx_roi_align(maps, boxes, level, size, finest)


def replica_share(loss):
    """What one device has of a loss of its own images, where Keras adds up the devices' gradients,
    as it does under `tf.distribute`: there, the loss divided by their number."""
    return on_tensorflow.replica_share(loss) if BACKEND == "tensorflow" else loss


def on_host(function, shape, *tensors):
    """An int32 tensor that a function of NumPy arrays gives; only where `CALLS_HOST`.

    See `COMPILES_HOST_CALLS`, which is for a model's `supports_jit`.

    Args:
        function: of arrays, one of each tensor.
        shape: of what it gives; None for a size of run time.
        tensors: without gradient.
    """
    if BACKEND == "tensorflow":
        return on_tensorflow.on_host(function, shape, *tensors)
    arrays = (ops.convert_to_numpy(x) for x in tensors)
    return ops.convert_to_tensor(function(*arrays), "int32")
