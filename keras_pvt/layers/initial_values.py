"""Upstream's initial values, drawn by NumPy: faster than by a backend, and the same on each."""

import math

import keras
import numpy as np

REGISTER = keras.saving.register_keras_serializable(package="keras_pvt")


@REGISTER
class Normal(keras.initializers.RandomNormal):
    """Normal values: dense layers, positions and the class token.

    Upstream's trunc_normal_ cuts at +-2 absolute, 100 deviations: a plain normal.

    Args:
        seed: integer; by default drawn from what `keras.utils.set_random_seed` sets.
        stddev: their standard deviation.
    """

    def __init__(self, seed: int | None = None, stddev: float = 0.02):
        super().__init__(stddev=stddev, seed=seed)

    def __call__(self, shape, dtype=None):
        return _normal(self.seed, shape, self.stddev, dtype)

    def get_config(self):
        config = super().get_config()
        return {"seed": config["seed"], "stddev": config["stddev"]}


@REGISTER
class FanOutNormal(keras.initializers.VarianceScaling):
    """He's normal values, of standard deviation sqrt(2 / fan_out): convolutions of necks and heads.

    Args:
        seed: integer; by default drawn from what `keras.utils.set_random_seed` sets.
    """

    def __init__(self, seed: int | None = None):
        super().__init__(2.0, mode="fan_out", distribution="untruncated_normal", seed=seed)

    def __call__(self, shape, dtype=None):
        fan_out = math.prod(shape[:-2]) * shape[-1]
        return _normal(self.seed, shape, math.sqrt(2 / fan_out), dtype)

    def get_config(self):
        return {"seed": super().get_config()["seed"]}


@REGISTER
class FanInUniform(keras.initializers.VarianceScaling):
    """Uniform values within +-1 / sqrt(fan_in), torch's default: convolutions.

    Args:
        seed: integer; by default drawn from what `keras.utils.set_random_seed` sets.
    """

    def __init__(self, seed: int | None = None):
        super().__init__(1 / 3, mode="fan_in", distribution="uniform", seed=seed)

    def __call__(self, shape, dtype=None):
        limit = 1 / math.sqrt(math.prod(shape[:-1]))
        values = np.random.default_rng(self.seed).random(shape, "float32")
        values *= 2 * limit
        values -= limit
        return keras.ops.convert_to_tensor(values, dtype)

    def get_config(self):
        return {"seed": super().get_config()["seed"]}


def _normal(seed, shape, stddev, dtype):
    """Box and Muller's method, 1958: a third of the time of NumPy's own normal values."""
    rng, count = np.random.default_rng(seed), math.prod(shape)
    values = np.empty((2, -(-count // 2)), "float32")
    for half in values:
        rng.random(out=half, dtype="float32")
    radius = 1 - values[0]  # above 0, below which there is no logarithm
    np.log(radius, out=radius)
    radius *= -2 * stddev**2
    np.sqrt(radius, out=radius)
    angle = values[1]
    angle *= 2 * math.pi
    np.cos(angle, out=values[0])
    np.sin(angle, out=angle)
    values *= radius
    return keras.ops.convert_to_tensor(values.ravel()[:count].reshape(shape), dtype)
