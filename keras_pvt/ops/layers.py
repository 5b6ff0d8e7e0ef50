"""Keras layers inside other layers, called by the fastest way that the backend has."""

import keras
from keras import ops

from keras_pvt.ops.backend import BACKEND, engine

# Score of a key that is masked: its weight is 0, and float16 holds it.
_MASKED = -6e4


def call_layer(layer, x, **kwargs):
    """`layer(x, **kwargs)`, for a built layer inside another of the same dtype policy."""
    return layer.call(x, **kwargs) if _is_bare(layer, x) else layer(x, **kwargs)


def dense(layer, x):
    """`layer(x)`, for a built Dense layer without activation."""
    return engine.dense(layer, x) if _has_own_way(x, layer) else layer(x)


def patch_conv(layer, x):
    """`layer(x)`, for a built Conv2D layer whose stride is its kernel, on a map."""
    if all(isinstance(side, int) for side in x.shape[1:3]):
        if _is_bare(layer, x):
            return engine.patch_conv(layer, x)
        if BACKEND == "jax" and engine.is_bare(layer, x):
            return engine.patch_conv(layer, x)
    return layer(x)


def overlap_conv(layer, x):
    """`layer(x)`, for a built Conv2D layer of an odd kernel, on a map with zeros around it.

    As many on each side, where Keras's "same" pads less before than after.
    """
    edge = layer.kernel_size[0] // 2
    if _is_bare(layer, x):
        return engine.overlap_conv(layer, x, edge)
    return call_layer(layer, ops.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0))))


def add_to_each(x, table):
    """`x + table`, of images `(B, ...)` and what each gets alike, `(1, ...)`; of one dtype."""
    return engine.add_to_each(x, table) if BACKEND == "jax" and engine.on_cpu() else x + table


def layer_norm(layer, x, otherwise=None):
    """`layer(x)`, for a built LayerNormalization over the last axis.

    Args:
        layer: the norm.
        x: float tensor `(..., C)`.
        otherwise: computes it where nothing here does better; by default the layer.
    """
    if BACKEND != "tensorflow":
        return engine.layer_norm(layer, x) if _has_own_way(x, layer) else (otherwise or layer)(x)
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
    if drop is None and _has_own_way(x, fc1, fc2):
        return engine.feed_forward(fc1, fc2, x)
    y = gelu(dense(fc1, to_rows(x)))
    y = dense(fc2, y if drop is None else drop(y, training=True))
    return from_rows(y if drop is None else drop(y, training=True), x)


def conv_feed_forward(fc1, conv, fc2, x, relu=False, drop=None):
    """`fc2(gelu(conv(fc1(x))))`, for built layers as `dense` and `depthwise_conv` take them.

    Args:
        fc1: the Dense layer that widens.
        conv: the depthwise convolution between.
        fc2: the Dense layer that narrows.
        x: float map `(B, H, W, C)`.
        relu: whether a ReLU comes before the convolution.
        drop: layer that drops features before and after `fc2`, or None.
    """
    if drop is None and _has_own_way(x, fc1, conv, fc2):
        return engine.conv_feed_forward(fc1, conv, fc2, x, relu)
    y = from_rows(dense(fc1, to_rows(x)), x)
    y = gelu(depthwise_conv(conv, ops.relu(y) if relu else y))
    y = dense(fc2, to_rows(y if drop is None else drop(y, training=True)))
    y = from_rows(y, x)
    return y if drop is None else drop(y, training=True)


def depthwise_conv(layer, x):
    """`layer(x)`, for a built DepthwiseConv2D layer of stride 1, padded by "same"."""
    return engine.depthwise_conv(layer, x) if _has_own_way(x, layer) else call_layer(layer, x)


def _has_own_way(x, *layers) -> bool:
    """Whether the backend has a faster way for bare layers than theirs, where it runs."""
    faster = BACKEND == "torch" or (BACKEND == "jax" and engine.on_cpu())
    return faster and all(engine.is_bare(layer, x) for layer in layers)


def _is_bare(layer, x) -> bool:
    return BACKEND == "torch" and engine.is_bare(layer, x)


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
    """GELU of a float tensor, not its tanh form; same shape and dtype."""
    return ops.gelu(x, approximate=False) if BACKEND == "torch" else engine.gelu(x)


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
        return engine.attention(query, key_value, num_heads, batch, scale, visible), None
    # Scaling the queries is cheaper than scaling the weights where keys are many.
    q = _split_heads(query * scale, num_heads, batch)
    k = _split_heads(key_value[..., :channels], num_heads, batch)
    v = _split_heads(key_value[..., channels:], num_heads, batch)
    k = ops.transpose(k, (0, 1, 3, 2))

    def weigh(q):
        scores = ops.matmul(q, k)
        if visible is not None:
            hidden = ops.cast(_MASKED, scores.dtype)
            scores = ops.where(ops.reshape(visible, (batch, 1, 1, -1)), scores, hidden)
        return softmax(scores)

    if BACKEND == "jax" and drop is None and not need_scores:
        scores, width = None, k.shape[-1] * num_heads * batch
        y = engine.rows_in_parts(lambda part: ops.matmul(weigh(part), v), q, width)
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


def softmax(x):
    """Softmax over the last axis, computed in float32 at least, in the dtype of `x`."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    if isinstance(x.shape[-1], int) and x.shape[-1] == 1:
        return ops.ones_like(x)  # one key, as in a 32-pixel image; Keras would warn
    if dtype in ("float16", "bfloat16"):
        return ops.cast(ops.softmax(ops.cast(x, "float32"), axis=-1), dtype)
    return ops.softmax(x, axis=-1)
