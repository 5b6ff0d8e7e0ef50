"""Spatial-reduction attention (SRA)."""

import math

import keras
from keras import ops

from keras_pvt.layers import base
from keras_pvt.ops import attention, dense, from_rows, layer_norm, patch_conv, to_rows


@base.register
class SpatialReductionAttention(base.Composite):
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
        **kwargs,
    ):
        super().__init__(**kwargs)
        owner = "SpatialReductionAttention"
        base.check_positive(owner, dim=dim, num_heads=num_heads, sr_ratio=sr_ratio)
        base.check_rate(owner, drop_rate=drop_rate, attention_drop_rate=attention_drop_rate)
        if dim % num_heads:
            raise ValueError(f"{owner}: `dim` {dim} is not divisible by `num_heads` {num_heads}.")
        self.dim = dim
        self.num_heads = num_heads
        self.sr_ratio = sr_ratio
        self.drop_rate = drop_rate
        self.attention_drop_rate = attention_drop_rate
        self.epsilon = epsilon
        self.qkv_bias = qkv_bias
        policy = self.dtype_policy
        self.query = base.dense(dim, policy, name="query", use_bias=qkv_bias)
        self.key_value = base.dense(2 * dim, policy, name="key_value", use_bias=qkv_bias)
        self.proj = base.dense(dim, policy, name="proj")
        if sr_ratio > 1:
            self.sr = base.patch_conv(dim, sr_ratio, policy, name="sr")
            self.norm = base.norm(epsilon, policy, name="norm")
        self.drop = base.dropout(drop_rate, policy, name="drop")
        self.attention_drop = base.dropout(attention_drop_rate, policy, name="attention_drop")

    def build(self, input_shape):
        self._check(input_shape)
        reduced = input_shape
        if self.sr_ratio > 1:
            self.sr.build(input_shape)
            reduced = self.sr.compute_output_shape(input_shape)
            self.norm.build(reduced)
        self.query.build(input_shape)
        self.key_value.build(reduced)
        self.proj.build(input_shape)
        self.built = True

    def _check(self, shape):
        if len(shape) == 3 and self.sr_ratio > 1:
            raise ValueError(
                f"{self.name}: tokens {tuple(shape)} have no rows and columns to reduce by "
                f"`sr_ratio` {self.sr_ratio}; pass a map (batch, height, width, channels)."
            )
        if len(shape) != 3:
            base.check_map(self.name, shape, self.sr_ratio)
        if shape[-1] != self.dim:
            raise ValueError(
                f"{self.name}: expected {self.dim} channels (`dim`); got shape {tuple(shape)}."
            )

    def call(self, x, first_only=False, training=False, return_attention_scores=False):
        self._check(x.shape)
        queries = x[:, :1] if first_only else x
        reduced = x
        if self.sr_ratio > 1:
            reduced = layer_norm(self.norm, patch_conv(self.sr, x))
        y, scores = attention(
            dense(self.query, to_rows(queries)),
            dense(self.key_value, to_rows(reduced)),
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
        queries, keys = (
            _cells(shape[1:-1]),
            _cells(base.floor_div(size, self.sr_ratio) for size in x.shape[1:-1]),
        )
        scores = (x.shape[0], self.num_heads, queries, keys)
        return y, keras.KerasTensor(scores, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_heads": self.num_heads,
            "sr_ratio": self.sr_ratio,
            "drop_rate": self.drop_rate,
            "attention_drop_rate": self.attention_drop_rate,
            "epsilon": self.epsilon,
            "qkv_bias": self.qkv_bias,
        }


def _cells(sizes) -> int | None:
    """Product of sizes; None where one is not known."""
    known = list(sizes)
    return None if None in known else math.prod(known)
