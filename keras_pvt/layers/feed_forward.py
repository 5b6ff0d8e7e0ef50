"""The feed-forwards: of each cell alone, and with a convolution between."""

import keras

from keras_pvt.layers import base
from keras_pvt.layers.initial_values import FanOutNormal
from keras_pvt.ops import conv_feed_forward, feed_forward


@base.register
class FeedForward(base.Composite):
    """Two dense layers with an exact (erf) GELU between them, on each cell alone.

    Args:
        dim: channels out.
        hidden_dim: channels between the two.
        drop_rate: probability of dropping a feature, after each dense layer.
    Call arguments:
        x: float tensor `(..., C)`: a map or tokens.
        training: drops only if True.
    Returns:
        `(..., dim)`.
    Raises:
        ValueError: a width below 1; a rate outside 0 <= rate < 1.
    Source:
        whai362/PVT classification/pvt.py, `Mlp`.
    """

    def __init__(self, dim: int, hidden_dim: int, drop_rate: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        base.check_positive("FeedForward", dim=dim, hidden_dim=hidden_dim)
        base.check_rate("FeedForward", drop_rate=drop_rate)
        self.dim = dim
        self.hidden_dim = hidden_dim
        self.drop_rate = drop_rate
        self.fc1 = base.dense(hidden_dim, self.dtype_policy, name="fc1")
        self.fc2 = base.dense(dim, self.dtype_policy, name="fc2")
        self.drop = base.dropout(drop_rate, self.dtype_policy, name="drop")

    def build(self, input_shape):
        self.fc1.build(input_shape)
        self.fc2.build((*input_shape[:-1], self.hidden_dim))
        self.built = True

    def call(self, x, training=False):
        return feed_forward(self.fc1, self.fc2, x, self.drop if training else None)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.dim)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "hidden_dim": self.hidden_dim,
            "drop_rate": self.drop_rate,
        }


@base.register
class ConvFeedForward(base.Composite):
    """Two dense layers with a depthwise 3 x 3 convolution and an exact (erf) GELU between them.

    The convolution sees zeros around the map, by which the cells learn where they are: PVTv2 has
    no position tables.

    Args:
        dim: channels out.
        hidden_dim: channels between the two.
        relu: whether a ReLU comes before the convolution, as where attention is linear.
        drop_rate: probability of dropping a feature, before and after the second dense layer.
    Call arguments:
        x: float map `(B, H, W, C)`.
        training: drops only if True.
    Returns:
        Map `(B, H, W, dim)`.
    Raises:
        ValueError: a width below 1; a rate outside 0 <= rate < 1; no map.
    Source:
        PVTv2, arXiv 2106.13797, section 3.3; whai362/PVT classification/pvt_v2.py, `Mlp` and
        `DWConv`. The ReLU is in the code, not in the paper. Differs: takes and returns a map.
    """

    def __init__(
        self, dim: int, hidden_dim: int, relu: bool = False, drop_rate: float = 0.0, **kwargs
    ):
        super().__init__(**kwargs)
        base.check_positive("ConvFeedForward", dim=dim, hidden_dim=hidden_dim)
        base.check_rate("ConvFeedForward", drop_rate=drop_rate)
        self.dim = dim
        self.hidden_dim = hidden_dim
        self.relu = relu
        self.drop_rate = drop_rate
        self.fc1 = base.dense(hidden_dim, self.dtype_policy, name="fc1")
        self.depthwise = keras.layers.DepthwiseConv2D(
            3,
            padding="same",
            data_format="channels_last",
            depthwise_initializer=FanOutNormal(),
            dtype=base.inner_policy(self.dtype_policy, "depthwise"),
            name="depthwise",
        )
        self.fc2 = base.dense(dim, self.dtype_policy, name="fc2")
        self.drop = base.dropout(drop_rate, self.dtype_policy, name="drop")

    def build(self, input_shape):
        base.check_map(self.name, input_shape)
        hidden = (*input_shape[:-1], self.hidden_dim)
        self.fc1.build(input_shape)
        self.depthwise.build(hidden)
        self.fc2.build(hidden)
        self.built = True

    def call(self, x, training=False):
        base.check_map(self.name, x.shape)
        drop = self.drop if training else None
        return conv_feed_forward(self.fc1, self.depthwise, self.fc2, x, self.relu, drop)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.dim)

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "hidden_dim": self.hidden_dim,
            "relu": self.relu,
            "drop_rate": self.drop_rate,
        }
