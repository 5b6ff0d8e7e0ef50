"""The encoder block of a stage."""

from keras_pvt.layers import base
from keras_pvt.layers.attention import (
    LinearSpatialReductionAttention,
    SpatialReductionAttention,
)
from keras_pvt.layers.drop_path import DropPath
from keras_pvt.layers.feed_forward import ConvFeedForward, FeedForward
from keras_pvt.layers.initial_values import FanOutNormal
from keras_pvt.ops import call_layer, layer_norm


@base.register
class EncoderBlock(base.Composite):
    """Attention and feed-forward, each after a norm and around it a residual.

    Args:
        dim: channels C, in and out.
        num_heads: attention heads; divides `dim`.
        mlp_ratio: hidden width of the feed-forward over `dim`.
        sr_ratio: spatial reduction of keys and values, in cells; 1 means none.
        drop_rate: probability of dropping a feature after a projection.
        attention_drop_rate: probability of dropping an attention weight.
        drop_path_rate: probability of dropping a whole branch for a sample, as `DropPath` does.
        epsilon: added to the variance in the two norms (1e-6 upstream).
        reduction_epsilon: added to the variance in the norm of the spatial reduction (1e-5
            upstream).
        first_only: compute the first token alone, so that the block returns `(B, 1, C)`. The
            last block before a classifier needs no more, and the numbers are the same.
        qkv_bias: whether queries, keys and values have a bias.
        convolutional: the block is PVTv2's: its feed-forward is a `ConvFeedForward`, and
            convolutions begin with normal values by their fan-out.
        linear: attention is a `LinearSpatialReductionAttention`, whatever `sr_ratio` says, and a
            ReLU comes before the convolution of the feed-forward.
    Call arguments:
        x: float map `(B, H, W, C)`; tokens `(B, N, C)` also, if `sr_ratio` is 1.
        training: drops only if True.
        return_attention_scores: also return the attention weights.
    Returns:
        Same shape and dtype as `x`, or `(B, 1, C)` with `first_only`. With
        `return_attention_scores` a pair of that and the weights `(B, heads, queries, keys)`,
        which sum to 1 over the keys.
    Raises:
        ValueError: `dim` not divisible by `num_heads`; a number below 1; a rate outside
            0 <= rate < 1; other channels than `dim`; a map smaller than `sr_ratio`; tokens, or
            `first_only`, where `sr_ratio` > 1, or where the block is PVTv2's; `linear` without
            `convolutional`.
    Source:
        whai362/PVT classification/pvt.py and pvt_v2.py, `Block`.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        mlp_ratio: int = 4,
        sr_ratio: int = 1,
        drop_rate: float = 0.0,
        attention_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        epsilon: float = 1e-6,
        reduction_epsilon: float = 1e-5,
        first_only: bool = False,
        qkv_bias: bool = True,
        convolutional: bool = False,
        linear: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        base.check_positive("EncoderBlock", mlp_ratio=mlp_ratio)
        base.check_rate("EncoderBlock", drop_path_rate=drop_path_rate)
        if first_only and sr_ratio != 1:
            raise ValueError(
                f"EncoderBlock: `first_only` is for tokens, `sr_ratio` 1; got {sr_ratio!r}."
            )
        if (linear and not convolutional) or (first_only and convolutional):
            raise ValueError(
                "EncoderBlock: `linear` goes with `convolutional`, and `first_only` does not; got "
                f"linear={linear}, convolutional={convolutional}, first_only={first_only}."
            )
        self.dim = dim
        self.num_heads = num_heads
        self.mlp_ratio = mlp_ratio
        self.sr_ratio = sr_ratio
        self.drop_rate = drop_rate
        self.attention_drop_rate = attention_drop_rate
        self.drop_path_rate = drop_path_rate
        self.epsilon = epsilon
        self.reduction_epsilon = reduction_epsilon
        self.first_only = first_only
        self.qkv_bias = qkv_bias
        self.convolutional = convolutional
        self.linear = linear
        policy = self.dtype_policy
        self.norm1 = base.norm(epsilon, policy, name="norm1")
        attention: dict = {
            "drop_rate": drop_rate,
            "attention_drop_rate": attention_drop_rate,
            "epsilon": reduction_epsilon,
            "qkv_bias": qkv_bias,
            "conv_initializer": FanOutNormal() if convolutional else None,
            "dtype": base.inner_policy(policy, "attention"),
            "name": "attention",
        }
        self.attention = (
            LinearSpatialReductionAttention(dim, num_heads, **attention)
            if linear
            else SpatialReductionAttention(dim, num_heads, sr_ratio, **attention)
        )
        self.norm2 = base.norm(epsilon, policy, name="norm2")
        feed_forward: dict = {
            "drop_rate": drop_rate,
            "dtype": base.inner_policy(policy, "feed_forward"),
            "name": "feed_forward",
        }
        self.feed_forward = (
            ConvFeedForward(dim, dim * mlp_ratio, relu=linear, **feed_forward)
            if convolutional
            else FeedForward(dim, dim * mlp_ratio, **feed_forward)
        )
        if drop_path_rate > 0:
            # Two layers, for two independent draws.
            self.drop_path1, self.drop_path2 = (
                DropPath(drop_path_rate, dtype=base.inner_policy(policy, name), name=name)
                for name in ("drop_path1", "drop_path2")
            )

    def build(self, input_shape):
        self.norm1.build(input_shape)
        self.attention.build(input_shape)
        self.norm2.build(input_shape)
        self.feed_forward.build(input_shape)
        self.built = True

    def call(self, x, training=False, return_attention_scores=False):
        y = call_layer(
            self.attention,
            layer_norm(self.norm1, x),
            first_only=self.first_only,
            training=training,
            return_attention_scores=return_attention_scores,
        )
        y, scores = y if return_attention_scores else (y, None)
        if self.first_only:
            x = x[:, :1]
        if self.drop_path_rate > 0:
            y = self.drop_path1(y, training=training)
        x = x + y
        y = call_layer(self.feed_forward, layer_norm(self.norm2, x), training=training)
        if self.drop_path_rate > 0:
            y = self.drop_path2(y, training=training)
        x = x + y
        return (x, scores) if return_attention_scores else x

    def compute_output_spec(self, x, training=False, return_attention_scores=False):
        return self.attention.compute_output_spec(
            x, first_only=self.first_only, return_attention_scores=return_attention_scores
        )

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
            "sr_ratio": self.sr_ratio,
            "drop_rate": self.drop_rate,
            "attention_drop_rate": self.attention_drop_rate,
            "drop_path_rate": self.drop_path_rate,
            "epsilon": self.epsilon,
            "reduction_epsilon": self.reduction_epsilon,
            "first_only": self.first_only,
            "qkv_bias": self.qkv_bias,
            "convolutional": self.convolutional,
            "linear": self.linear,
        }
