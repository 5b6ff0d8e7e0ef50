"""Multi-head attention whose keys and values come from a reduced map."""

import math

import keras
from keras import ops

from keras_pvt.layers import base
from keras_pvt.ops import attention, dense, from_rows, gelu, layer_norm, patch_conv, pool, to_rows
from keras_pvt.variants import POOL_SIZE


class ReducedAttention(base.Composite):
    """What both kinds share; `_reduce` and its like are their own.

    `conv_initializer` is that of `SpatialReductionAttention`.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        drop_rate: float = 0.0,
        attention_drop_rate: float = 0.0,
        epsilon: float = 1e-5,
        qkv_bias: bool = True,
        conv_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        owner = type(self).__name__
        base.check_positive(owner, dim=dim, num_heads=num_heads)
        base.check_rate(owner, drop_rate=drop_rate, attention_drop_rate=attention_drop_rate)
        if dim % num_heads:
            raise ValueError(f"{owner}: `dim` {dim} is not divisible by `num_heads` {num_heads}.")
        self.dim = dim
        self.num_heads = num_heads
        self.drop_rate = drop_rate
        self.attention_drop_rate = attention_drop_rate
        self.epsilon = epsilon
        self.qkv_bias = qkv_bias
        self.conv_initializer = keras.initializers.get(conv_initializer)
        policy = self.dtype_policy
        self.query = base.dense(dim, policy, name="query", use_bias=qkv_bias)
        self.key_value = base.dense(2 * dim, policy, name="key_value", use_bias=qkv_bias)
        self.proj = base.dense(dim, policy, name="proj")
        self.drop = base.dropout(drop_rate, policy, name="drop")
        self.attention_drop = base.dropout(attention_drop_rate, policy, name="attention_drop")

    def _add_reduction(self, side: int) -> None:
        """The convolution of so many cells a side that makes keys and values, and its norm."""
        self.sr = base.patch_conv(
            self.dim, side, self.dtype_policy, name="sr", initializer=self.conv_initializer
        )
        self.norm = base.norm(self.epsilon, self.dtype_policy, name="norm")

    def _reduced_sides(self, shape) -> tuple:
        """Rows and columns of the keys, of those of the queries; None where one is not known."""
        raise NotImplementedError

    def _reduce(self, x):
        """What keys and values are made of."""
        raise NotImplementedError

    def _check(self, shape):
        """Raise ValueError for what the layer cannot take."""
        if shape[-1] != self.dim:
            raise ValueError(
                f"{self.name}: expected {self.dim} channels (`dim`); got shape {tuple(shape)}."
            )

    def build(self, input_shape):
        self._check(input_shape)
        reduced = (input_shape[0], *self._reduced_sides(input_shape), self.dim)
        if hasattr(self, "sr"):
            self.sr.build(input_shape)
            self.norm.build(reduced)
        self.query.build(input_shape)
        self.key_value.build(reduced)
        self.proj.build(input_shape)
        self.built = True

    def call(self, x, first_only=False, training=False, return_attention_scores=False):
        self._check(x.shape)
        queries = x[:, :1] if first_only else x
        y, scores = attention(
            dense(self.query, to_rows(queries)),
            dense(self.key_value, to_rows(self._reduce(x))),
            self.num_heads,
            ops.shape(x)[0],
            drop=self.attention_drop if training else None,
            need_scores=return_attention_scores,
        )
        y = from_rows(dense(self.proj, y), queries)
        if self.drop is not None:
            y = self.drop(y, training=training)
        return (y, scores) if return_attention_scores else y

    def compute_output_spec(
        self, x, first_only=False, training=False, return_attention_scores=False
    ):
        self._check(x.shape)
        shape = (x.shape[0], 1, self.dim) if first_only else x.shape
        y = keras.KerasTensor(shape, dtype=self.compute_dtype)
        if not return_attention_scores:
            return y
        cells = _cells(shape[1:-1]), _cells(self._reduced_sides(x.shape))
        scores = (x.shape[0], self.num_heads, *cells)
        return y, keras.KerasTensor(scores, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_heads": self.num_heads,
            "drop_rate": self.drop_rate,
            "attention_drop_rate": self.attention_drop_rate,
            "epsilon": self.epsilon,
            "qkv_bias": self.qkv_bias,
            "conv_initializer": keras.initializers.serialize(self.conv_initializer),
        }


@base.register
class SpatialReductionAttention(ReducedAttention):
    """Multi-head attention whose keys and values come from a reduced map.

    Queries keep every cell; a strided convolution reduces the keys and values first, so
    the cost falls from (HW)**2 to (HW)**2 / sr_ratio**2.

    Args:
        dim: channels C, in and out; divisible by `num_heads`.
        num_heads: number of heads.
        sr_ratio: stride of the reduction, in cells; 1 means none.
        drop_rate: probability of dropping an output feature.
        attention_drop_rate: probability of dropping an attention weight.
        epsilon: added to the variance in the reduction norm (1e-5 upstream).
        qkv_bias: whether queries, keys and values have a bias.
        conv_initializer: of the reduction's kernel; None is PVT's, uniform by the fan-in.
    Call arguments:
        x: float map `(B, H, W, C)`; tokens `(B, N, C)` also, if `sr_ratio` is 1.
        first_only: the first token is the only query, so that the result is `(B, 1, C)`. For
            tokens only.
        training: drops only if True.
        return_attention_scores: also return the attention weights.
    Returns:
        Same shape and dtype as `x`; with `return_attention_scores` a pair of that and the
        weights `(B, heads, queries, keys)`, which sum to 1 over the keys. Queries and keys
        are row-major; keys are cells of the reduced map, `H // sr_ratio` by `W // sr_ratio`.
    Raises:
        ValueError: `dim` not divisible by `num_heads`; a rate outside 0 <= rate < 1; other
            channels than `dim`; a map smaller than `sr_ratio`; tokens where `sr_ratio` > 1.
    Source:
        PVT, arXiv 2102.12122, section 3.3; whai362/PVT classification/pvt.py, `Attention`.
        Differs: takes and returns a map, where upstream takes tokens with H and W.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        sr_ratio: int = 1,
        drop_rate: float = 0.0,
        attention_drop_rate: float = 0.0,
        epsilon: float = 1e-5,
        qkv_bias: bool = True,
        conv_initializer=None,
        **kwargs,
    ):
        super().__init__(
            dim,
            num_heads,
            drop_rate,
            attention_drop_rate,
            epsilon,
            qkv_bias,
            conv_initializer,
            **kwargs,
        )
        base.check_positive("SpatialReductionAttention", sr_ratio=sr_ratio)
        self.sr_ratio = sr_ratio
        if sr_ratio > 1:
            self._add_reduction(sr_ratio)

    def _check(self, shape):
        if len(shape) == 3 and self.sr_ratio > 1:
            raise ValueError(
                f"{self.name}: tokens {tuple(shape)} have no rows and columns to reduce by "
                f"`sr_ratio` {self.sr_ratio}; pass a map (batch, height, width, channels)."
            )
        if len(shape) != 3:
            base.check_map(self.name, shape, self.sr_ratio)
        super()._check(shape)

    def _reduced_sides(self, shape):
        return tuple(base.floor_div(size, self.sr_ratio) for size in shape[1:-1])

    def _reduce(self, x):
        return layer_norm(self.norm, patch_conv(self.sr, x)) if self.sr_ratio > 1 else x

    def get_config(self):
        return {**super().get_config(), "sr_ratio": self.sr_ratio}


@base.register
class LinearSpatialReductionAttention(ReducedAttention):
    """Multi-head attention whose keys and values are pooled to the same number for every map.

    So the cost grows with HW, not with its square.

    Args:
        dim: channels C, in and out; divisible by `num_heads`.
        num_heads: number of heads.
        pool_size: rows, and columns, of keys and values.
        drop_rate: probability of dropping an output feature.
        attention_drop_rate: probability of dropping an attention weight.
        epsilon: added to the variance in the reduction norm (1e-5 upstream).
        qkv_bias: whether queries, keys and values have a bias.
        conv_initializer: of the 1 x 1 convolution's kernel; None is uniform by the fan-in.
    Call arguments:
        x: float map `(B, H, W, C)`. Where a side has fewer cells than `pool_size`, they repeat.
        training: drops only if True.
        return_attention_scores: also return the attention weights.
    Returns:
        Same shape and dtype as `x`; with `return_attention_scores` a pair of that and the
        weights `(B, heads, H * W, pool_size**2)`, which sum to 1 over the keys.
    Raises:
        ValueError: `dim` not divisible by `num_heads`; a rate outside 0 <= rate < 1; other
            channels than `dim`; no map.
    Source:
        PVTv2, arXiv 2106.13797, section 3.1; whai362/PVT classification/pvt_v2.py, `Attention`
        with `linear=True`. Differs: takes and returns a map.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        pool_size: int = POOL_SIZE,
        drop_rate: float = 0.0,
        attention_drop_rate: float = 0.0,
        epsilon: float = 1e-5,
        qkv_bias: bool = True,
        conv_initializer=None,
        **kwargs,
    ):
        super().__init__(
            dim,
            num_heads,
            drop_rate,
            attention_drop_rate,
            epsilon,
            qkv_bias,
            conv_initializer,
            **kwargs,
        )
        base.check_positive("LinearSpatialReductionAttention", pool_size=pool_size)
        self.pool_size = pool_size
        self._add_reduction(1)

    def _check(self, shape):
        base.check_map(self.name, shape)
        super()._check(shape)

    def _reduced_sides(self, shape):
        return self.pool_size, self.pool_size

    def _reduce(self, x):
        return gelu(layer_norm(self.norm, patch_conv(self.sr, pool(x, self.pool_size))))

    def get_config(self):
        return {**super().get_config(), "pool_size": self.pool_size}


def _cells(sizes) -> int | None:
    """Product of sizes; None where one is not known."""
    known = list(sizes)
    return None if None in known else math.prod(known)
