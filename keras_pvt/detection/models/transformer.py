"""The transformer of DETR: cells of an image, and queries for the objects in it."""

import keras
from keras import ops

from keras_pvt.layers import base
from keras_pvt.layers.initial_values import Normal
from keras_pvt.ops import attention, call_layer, dense, from_rows, layer_norm, to_rows

EPSILON = 1e-5


@base.register
class ObjectQueries(keras.layers.Layer):
    """Learned queries, the same for every image.

    Args:
        count: Q.
    Call arguments:
        x: float tokens `(B, N, C)`, for batch and width.
    Returns:
        `(B, Q, C)`.
    Raises:
        ValueError: `count` below 1.
    """

    def __init__(self, count: int, **kwargs):
        super().__init__(**kwargs)
        base.check_positive("ObjectQueries", count=count)
        self.count = count

    def build(self, input_shape):
        self.table = self.add_weight(
            shape=(self.count, input_shape[-1]),
            initializer=Normal(stddev=1.0),
            name="table",
        )
        self.built = True

    def call(self, x):
        table = ops.cast(ops.convert_to_tensor(self.table), x.dtype)
        return table + ops.zeros_like(x[:, :1])

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.count, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "count": self.count}


@base.register
class CrossAttention(base.Composite):
    """Multi-head attention of tokens to others, whose keys and values differ.

    Args:
        dim: channels C, in and out; divisible by `num_heads`.
        num_heads: number of heads.
        drop_rate: probability of dropping an attention weight.
    Call arguments:
        query: float tokens `(B, N, C)`.
        key: float tokens `(B, M, C)`.
        value: float tokens `(B, M, C)`.
        visible: boolean `(B, M)`, the keys that are attended to; None for all.
        training: drops only if True.
    Returns:
        `(B, N, C)`.
    Raises:
        ValueError: `dim` not divisible by `num_heads`; a rate outside 0 <= rate < 1.
    Source:
        torch.nn.MultiheadAttention, with the initial values of mmdetection 2.13's Transformer.
    """

    def __init__(self, dim: int, num_heads: int, drop_rate: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        owner = type(self).__name__
        base.check_positive(owner, dim=dim, num_heads=num_heads)
        base.check_rate(owner, drop_rate=drop_rate)
        if dim % num_heads:
            raise ValueError(f"{owner}: `dim` {dim} is not divisible by `num_heads` {num_heads}.")
        self.dim, self.num_heads, self.drop_rate = dim, num_heads, drop_rate
        policy = self.dtype_policy
        # Upstream draws the three as one matrix, whose fan out is three times as large.
        self.query, self.key, self.value = (
            xavier_dense(dim, policy, name, scale=0.5) for name in ("query", "key", "value")
        )
        self.proj = xavier_dense(dim, policy, "proj")
        self.drop = base.dropout(drop_rate, policy, "drop")

    def build(self, input_shape):
        for layer in (self.query, self.key, self.value, self.proj):
            layer.build(input_shape)
        self.built = True

    def call(self, query, key, value, visible=None, training=False):
        key_value = [dense(self.key, to_rows(key)), dense(self.value, to_rows(value))]
        y, _ = attention(
            from_rows(dense(self.query, to_rows(query)), query),
            ops.concatenate(key_value, axis=-1),
            self.num_heads,
            ops.shape(query)[0],
            drop=self.drop if training else None,
            visible=visible,
        )
        return from_rows(dense(self.proj, to_rows(y)), query)

    def compute_output_spec(self, query, key, value, visible=None, training=False):
        return keras.KerasTensor(query.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_heads": self.num_heads,
            "drop_rate": self.drop_rate,
        }


class _TransformerLayer(base.Composite):
    """What both layers have: a feed-forward, and norms after each residual."""

    attentions: tuple[str, ...]

    def __init__(
        self,
        dim: int,
        num_heads: int,
        hidden_dim: int,
        drop_rate: float = 0.0,
        epsilon: float = EPSILON,
        **kwargs,
    ):
        super().__init__(**kwargs)
        base.check_positive(type(self).__name__, hidden_dim=hidden_dim)
        self.dim, self.num_heads, self.hidden_dim = dim, num_heads, hidden_dim
        self.drop_rate, self.epsilon = drop_rate, epsilon
        policy = self.dtype_policy
        for name in self.attentions:
            part = CrossAttention(
                dim, num_heads, drop_rate, dtype=base.inner_policy(policy, name), name=name
            )
            setattr(self, name, part)
        for name in self._norms():
            setattr(self, name, base.norm(epsilon, policy, name))
        self.fc1 = xavier_dense(hidden_dim, policy, "fc1")
        self.fc2 = xavier_dense(dim, policy, "fc2")
        self.drop = base.dropout(drop_rate, policy, "drop")

    def build(self, input_shape):
        for name in (*self.attentions, *self._norms()):
            getattr(self, name).build(input_shape)
        self.fc1.build(input_shape)
        self.fc2.build((*input_shape[:-1], self.hidden_dim))
        self.built = True

    def _norms(self) -> list[str]:
        """One after each attention, and one after the feed-forward."""
        return [f"norm{n}" for n in range(1, len(self.attentions) + 2)]

    def _after(self, norm, x, y, training):
        """The norm of a residual; `y` is its branch."""
        return layer_norm(norm, x + self._dropped(y, training))

    def _dropped(self, x, training):
        return x if self.drop is None else self.drop(x, training=training)

    def _feed_forward(self, x, training):
        y = self._dropped(ops.relu(dense(self.fc1, to_rows(x))), training)
        return from_rows(dense(self.fc2, y), x)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_heads": self.num_heads,
            "hidden_dim": self.hidden_dim,
            "drop_rate": self.drop_rate,
            "epsilon": self.epsilon,
        }


@base.register
class DETREncoderLayer(_TransformerLayer):
    """Self-attention of the cells, then a feed-forward; each with a residual and a norm after it.

    Args:
        dim: channels C, in and out; divisible by `num_heads`.
        num_heads: attention heads.
        hidden_dim: channels inside the feed-forward.
        drop_rate: probability of dropping an attention weight, and a feature after the
            attention, inside the feed-forward and after it.
        epsilon: added to the variance in the norms.
    Call arguments:
        x: cells `(B, N, C)`.
        positions: of the cells, added to queries and keys, `(B, N, C)`.
        visible: boolean `(B, N)`, the cells that are attended to; None for all.
        training: drops only if True.
    Returns:
        `(B, N, C)`.
    Raises:
        ValueError: `dim` not divisible by `num_heads`; a rate outside 0 <= rate < 1.
    Source:
        DETR, arXiv 2005.12872, figure 10; mmdetection 2.13 mmdet/models/utils/transformer.py.
    """

    attentions = ("self_attention",)

    def call(self, x, positions, visible=None, training=False):
        query = x + positions
        y = call_layer(
            self.self_attention, query, key=query, value=x, visible=visible, training=training
        )
        x = self._after(self.norm1, x, y, training)
        return self._after(self.norm2, x, self._feed_forward(x, training), training)

    def compute_output_spec(self, x, positions, visible=None, training=False):
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)


@base.register
class DETRDecoderLayer(_TransformerLayer):
    """Self-attention of the objects, attention to the cells, then a feed-forward.

    Each has a residual and a norm after it.

    Args:
        dim: channels C, in and out; divisible by `num_heads`.
        num_heads: attention heads.
        hidden_dim: channels inside the feed-forward.
        drop_rate: probability of dropping an attention weight, and a feature after each
            attention, inside the feed-forward and after it.
        epsilon: added to the variance in the norms.
    Call arguments:
        x: features of the objects, `(B, Q, C)`.
        queries: learned queries, added to `x` in queries and keys, `(B, Q, C)`.
        cells: of the image, `(B, N, C)`.
        positions: of the cells, `(B, N, C)`.
        visible: boolean `(B, N)`, the cells that are attended to; None for all.
        training: drops only if True.
    Returns:
        `(B, Q, C)`.
    Raises:
        ValueError: `dim` not divisible by `num_heads`; a rate outside 0 <= rate < 1.
    Source:
        DETR, arXiv 2005.12872, figure 10; mmdetection 2.13 mmdet/models/utils/transformer.py.
    """

    attentions = ("self_attention", "cross_attention")

    def call(self, x, queries, cells, positions, visible=None, training=False):
        query = x + queries
        y = call_layer(self.self_attention, query, key=query, value=x, training=training)
        x = self._after(self.norm1, x, y, training)
        y = call_layer(
            self.cross_attention,
            x + queries,
            key=cells + positions,
            value=cells,
            visible=visible,
            training=training,
        )
        x = self._after(self.norm2, x, y, training)
        return self._after(self.norm3, x, self._feed_forward(x, training), training)

    def compute_output_spec(self, x, queries, cells, positions, visible=None, training=False):
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)


def xavier_dense(width: int, dtype, name: str, scale: float = 1.0) -> keras.layers.Dense:
    """Dense layer with upstream's initial values: uniform by the mean of both fans, bias 0."""
    return keras.layers.Dense(
        width,
        kernel_initializer=keras.initializers.VarianceScaling(scale, "fan_avg", "uniform"),
        dtype=base.inner_policy(dtype, name),
        name=name,
    )
