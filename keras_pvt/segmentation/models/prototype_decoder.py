"""The decoder of Trans2Seg, in which each class has a query, its prototype."""

import keras
from keras import ops

from keras_pvt.layers import base
from keras_pvt.layers.feed_forward import FeedForward
from keras_pvt.layers.initial_values import Normal
from keras_pvt.ops import call_layer, dense, layer_norm, softmax


@base.register
class ClassPrototypes(keras.layers.Layer):
    """A learned vector for each class, the same for every image.

    Args:
        num_classes: K.
    Call arguments:
        x: float tokens `(B, N, C)`, for batch and width.
    Returns:
        `(B, K, C)`.
    Raises:
        ValueError: `num_classes` below 1.
    """

    def __init__(self, num_classes: int, **kwargs):
        super().__init__(**kwargs)
        base.check_positive("ClassPrototypes", num_classes=num_classes)
        self.num_classes = num_classes

    def build(self, input_shape):
        self.table = self.add_weight(
            shape=(1, self.num_classes, input_shape[-1]), initializer=Normal(), name="table"
        )
        self.built = True

    def call(self, x):
        table = ops.cast(ops.convert_to_tensor(self.table), x.dtype)
        return table + ops.zeros_like(x[:, :1])

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_classes, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}


@base.register
class PrototypeDecoderBlock(base.Composite):
    """A block of Trans2Seg's decoder: attention of the class prototypes to the image.

    Every block has the same weights, as upstream. The last block uses those of the attention
    alone, and the others all but the attention's feed-forward: unused weights are not trainable.

    Args:
        dim: channels C of prototypes and features.
        num_heads: divides `dim`.
        cells: N, cells of the feature map; a norm and a feed-forward run over them, so that
            images have one size.
        mlp_ratio: hidden over outer width of the feed-forwards.
        epsilon: in the norms.
        last: whether it is the last block.
    Call arguments:
        query: prototypes `(B, K, C)`.
        features: tokens `(B, N, C)`.
    Returns:
        The new query and features, of the same shapes; from the last block attention maps
        `(B, K, heads, N)`, which are no probabilities.
    Raises:
        ValueError: `dim` not divisible by `num_heads`; other numbers below 1.
    Source:
        Trans2Seg, arXiv 2101.08461, section 3.3; xieenze/Trans2Seg
        segmentron/modules/transformer.py. As there, the heads of the query are cut from its
        `K * C` numbers without a transpose, and branches double what they are added to.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        cells: int,
        mlp_ratio: int = 3,
        epsilon: float = 1e-5,
        last: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        base.check_positive(
            "PrototypeDecoderBlock", dim=dim, num_heads=num_heads, cells=cells, mlp_ratio=mlp_ratio
        )
        if dim % num_heads:
            raise ValueError(
                f"PrototypeDecoderBlock: `dim` {dim} is not divisible by `num_heads` {num_heads}."
            )
        self.dim = dim
        self.num_heads = num_heads
        self.cells = cells
        self.mlp_ratio = mlp_ratio
        self.epsilon = epsilon
        self.last = last
        policy = self.dtype_policy
        self.query_norm, self.feature_norm, self.norm2, self.norm3, self.norm4 = (
            base.norm(epsilon, policy, name=name)
            for name in ("query_norm", "feature_norm", "norm2", "norm3", "norm4")
        )
        self.query = base.dense(dim, policy, name="query", use_bias=False)
        self.key_value = base.dense(2 * dim, policy, name="key_value", use_bias=False)
        self.proj = base.dense(dim, policy, name="proj")
        self.query_mlp, self.feature_mlp, self.attention_mlp = (
            FeedForward(width, width * mlp_ratio, dtype=base.inner_policy(policy, name), name=name)
            for name, width in (
                ("query_mlp", dim),
                ("feature_mlp", dim),
                ("attention_mlp", cells),
            )
        )
        for name in self.unused:
            getattr(self, name).trainable = False

    @property
    def unused(self) -> tuple[str, ...]:
        if self.last:
            return ("proj", "norm2", "norm3", "query_mlp", "feature_mlp")
        return ("norm4", "attention_mlp")

    def build(self, query_shape, features_shape):
        if features_shape[1] != self.cells:
            raise ValueError(
                f"{self.name}: expected features of {self.cells} cells; got shape "
                f"{tuple(features_shape)}."
            )
        for layer in (self.query_norm, self.query, self.proj, self.norm2, self.query_mlp):
            layer.build(query_shape)
        for layer in (self.feature_norm, self.key_value, self.norm3, self.feature_mlp):
            layer.build(features_shape)
        for layer in (self.norm4, self.attention_mlp):
            layer.build((query_shape[0], query_shape[1], self.num_heads, self.cells))
        self.built = True

    def call(self, query, features):
        prototypes = query.shape[1]
        scores, value = self._attention(query, features)  # (B, heads, K, N), (B, heads, N, width)
        if self.last:
            maps = 2.0 * ops.transpose(scores, (0, 2, 1, 3))
            return maps + call_layer(self.attention_mlp, layer_norm(self.norm4, maps))
        found = ops.matmul(softmax(scores), value)  # (B, heads, K, width)
        query = 2.0 * dense(self.proj, ops.reshape(found, (-1, prototypes, self.dim)))
        query = query + call_layer(self.query_mlp, layer_norm(self.norm2, query))
        features = 2.0 * features
        features = features + call_layer(self.feature_mlp, layer_norm(self.norm3, features))
        return query, features

    def _attention(self, query, features):
        prototypes, heads, width = query.shape[1], self.num_heads, self.dim // self.num_heads
        q = dense(self.query, layer_norm(self.query_norm, query)) * width**-0.5
        q = ops.reshape(q, (-1, heads, prototypes, width))
        both = dense(self.key_value, layer_norm(self.feature_norm, features))
        key, value = (
            ops.transpose(
                ops.reshape(part, (-1, self.cells, heads, width)),
                (0, 2, 1, 3),
            )
            for part in (both[..., : self.dim], both[..., self.dim :])
        )
        return ops.matmul(q, ops.transpose(key, (0, 1, 3, 2))), value

    def compute_output_shape(self, query_shape, features_shape):
        if self.last:
            return (*query_shape[:2], self.num_heads, self.cells)
        return query_shape, features_shape

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "num_heads": self.num_heads,
            "cells": self.cells,
            "mlp_ratio": self.mlp_ratio,
            "epsilon": self.epsilon,
            "last": self.last,
        }
