"""Stochastic depth."""

import keras
from keras import ops

from keras_pvt.layers import base


@base.register
class DropPath(keras.layers.Layer):
    """Stochastic depth: drops a residual branch for whole samples.

    One draw a sample (not one a batch, which Keras and keras-cv also call stochastic
    depth); a kept branch is divided by `1 - rate`.

    Args:
        rate: probability of dropping, 0 <= rate < 1; 0 never drops.
        seed: integer for a repeatable sequence of draws.
    Call arguments:
        x: float tensor `(B, ...)`.
        training: draws only if True; otherwise `x` comes back as it is.
    Returns:
        Same shape and dtype as `x`.
    Raises:
        ValueError: `rate` outside 0 <= rate < 1.
    Source:
        Huang et al., arXiv 1603.09382; the DropPath of timm, which whai362/PVT uses.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs):
        super().__init__(**kwargs)
        base.check_rate("DropPath", rate=rate)
        self.rate = rate
        self.seed = seed
        if rate > 0:
            self.seed_generator = keras.random.SeedGenerator(seed)
        self.built = True

    def call(self, x, training=False):
        if not training or self.rate == 0:
            return x
        per_sample = (ops.shape(x)[0],) + (1,) * (len(x.shape) - 1)
        return keras.random.dropout(x, self.rate, noise_shape=per_sample, seed=self.seed_generator)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
