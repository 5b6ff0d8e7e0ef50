"""What XLA computes slowly, or cannot export, in another form."""

import math

import jax
import jax.numpy as jnp
import keras

from keras_pvt.ops.shortcuts import is_plain, patches

# erf(x) = x p(x**2) / q(x**2) within 2e-8 for |x| <= 3.8, beyond which float32 has it at 1;
# fitted for this package (weighted least squares, repeated until the errors are level).
_LIMIT = 3.8
_P = (
    1.12837907,
    0.188115806,
    0.0525472963,
    0.00369359933,
    0.000287999532,
    2.13214031e-06,
)
_Q = (1.0, 0.500045549, 0.113254748, 0.0148228991, 0.00115374249, 3.90979443e-05)


# Numbers of an intermediate result at a time (8 MiB in float32), which then stay in the cache.
# Twice as many are no worse; of large ones, each run takes new memory from the system, which costs
# several times what is computed on it.
_PART = 1 << 21


def device():
    """See `keras_pvt.ops.device`."""
    first, count = jax.local_devices()[0], jax.local_device_count()
    kind = "" if first.platform == "cpu" else f":{first.id} ({first.device_kind})"
    return first.platform + kind, count


def is_bare(layer, x) -> bool:
    """Whether `layer(x)` does nothing that matters but `layer.call(x)`."""
    same_dtype = keras.backend.standardize_dtype(x.dtype) == layer.compute_dtype
    return same_dtype and is_plain(layer)


def patch_conv(layer, x):
    """A bare Conv2D layer whose stride is its kernel, on a map of static sides.

    A matrix product: XLA's convolution is slower on a CPU.
    """
    x = patches(x, layer.kernel_size[0])
    kernel, bias = (jnp.asarray(v.value, x.dtype) for v in (layer.kernel, layer.bias))
    return x @ kernel.reshape(x.shape[-1], -1) + bias


def cells_in_parts(function, x, width):
    """`rows_in_parts` for all cells of `(..., C)` alike, where their number is known."""
    if not all(isinstance(size, int) for size in x.shape):
        return function(x)
    y = rows_in_parts(function, x.reshape(-1, x.shape[-1]), width)
    return y.reshape(*x.shape[:-1], y.shape[-1])


def rows_in_parts(function, x, width):
    """`function(x)`, on one CPU some rows at a time where all would be many numbers.

    Gradients compute a part anew instead of keeping it, which takes less time too.

    Args:
        function: of `(..., rows, C)` makes `(..., rows, any)`, each row for itself.
        x: `(..., N, C)`.
        width: numbers that a row becomes in between, over all leading axes.
    """
    rows = x.shape[-2]
    if not (isinstance(rows, int) and isinstance(width, int)) or rows * width <= 2 * _PART:
        return function(x)
    if jax.default_backend() != "cpu" or jax.device_count() > 1:
        return function(x)
    step = max(1, _PART // width)
    parts = -(-rows // step)
    step = -(-rows // parts)
    leading = x.shape[:-2]
    edges = [(0, 0)] * len(leading)
    x = jnp.pad(x, [*edges, (0, parts * step - rows), (0, 0)])
    x = jnp.moveaxis(x.reshape(*leading, parts, step, x.shape[-1]), -3, 0)
    y = jnp.moveaxis(jax.lax.map(jax.checkpoint(function), x), 0, -3)
    return y.reshape(*leading, parts * step, y.shape[-1])[..., :rows, :]


@jax.custom_jvp
def erf(x):
    """The error function in float32 as plain arithmetic, with its derivative in closed form."""
    x = jnp.clip(x, -_LIMIT, _LIMIT)
    square = x * x
    return x * _polynomial(_P, square) / _polynomial(_Q, square)


# Differentiating the quotient would keep every one of its terms until the backward pass.
erf.defjvps(lambda tangent, _, x: tangent * (2 / math.sqrt(math.pi)) * jnp.exp(-x * x))


def _polynomial(coefficients, x):
    """The value at `x`, by Horner's rule; coefficients of the lowest power first."""
    value = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value
