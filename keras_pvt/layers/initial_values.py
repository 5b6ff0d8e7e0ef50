"""Upstream's initial values."""

import math

import keras
import numpy as np

from keras_pvt import ops

REGISTER = keras.saving.register_keras_serializable(package="keras_pvt")


@REGISTER
class Normal(keras.initializers.RandomNormal):
    """Normal values of deviation 0.02: dense layers, positions and the class token.

    Upstream's trunc_normal_ cuts at +-2 absolute, 100 deviations: a plain normal.

    Args:
        seed: integer; by default drawn from what `keras.utils.set_random_seed` sets.
    """

    def __init__(self, seed: int | None = None):
        super().__init__(stddev=0.02, seed=seed)

    def __call__(self, shape, dtype=None):
        if not ops.COMPILES_EACH_SHAPE:
            return super().__call__(shape, dtype)
        values = np.random.default_rng(self.seed).standard_normal(shape, "float32")
        values *= self.stddev
        return keras.ops.convert_to_tensor(values, dtype)

    def get_config(self):
        return {"seed": super().get_config()["seed"]}


@REGISTER
class FanInUniform(keras.initializers.VarianceScaling):
    """Uniform values within +-1 / sqrt(fan_in), torch's default: convolutions.

    Args:
        seed: as of `Normal`.
    """

    def __init__(self, seed: int | None = None):
        super().__init__(1 / 3, mode="fan_in", distribution="uniform", seed=seed)

    def __call__(self, shape, dtype=None):
        if not ops.COMPILES_EACH_SHAPE:
            return super().__call__(shape, dtype)
        limit = 1 / math.sqrt(math.prod(shape[:-1]))
        values = np.random.default_rng(self.seed).random(shape, "float32")
        values *= 2 * limit
        values -= limit
        return keras.ops.convert_to_tensor(values, dtype)

    def get_config(self):
        return {"seed": super().get_config()["seed"]}
