"""Feed-forward."""

from keras_pvt.layers import base
from keras_pvt.ops import feed_forward


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
