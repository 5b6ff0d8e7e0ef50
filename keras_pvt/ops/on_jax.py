"""What XLA computes slowly, or cannot export, in another form."""

import math

import jax
import jax.numpy as jnp
import keras

from keras_pvt.ops.shortcuts import is_plain, patches

# The normal distribution's tail beyond t >= 0 is 0.5 / q(t)**8, and q(t) a polynomial of these
# coefficients, the lowest power first; t times the tail is within 6e-8. Fitted for this package
# (weighted least squares, repeated until the errors are level).
_TAIL = (
    1.0,
    0.0997344524,
    0.0447755277,
    0.00862481907,
    0.000939654099,
    0.000138965667,
    8.73024371e-05,
    -1.47678843e-05,
    2.77919387e-06,
)
# Beyond it q(t)**8 is infinite, and the tail 0.
_FAR = 1e4

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


def on_cpu() -> bool:
    """Whether what is traced now will run on a CPU."""
    return jax.default_backend() == "cpu"


def depthwise_conv(layer, x):
    """A bare DepthwiseConv2D layer of stride 1, as sums of shifted products.

    On a CPU XLA's grouped convolution takes 15 to 30 times as long, and its gradient up to 34.
    """
    edge = layer.kernel_size[0] // 2
    return _depthwise(layer, jnp.pad(x, ((0, 0), (edge, edge), (0, 0), (0, 0))))


def _depthwise(layer, x):
    """`depthwise_conv` of a map that has the rows above and below already."""
    side = layer.kernel_size[0]
    kernel, y = (jnp.asarray(v.value, x.dtype) for v in (layer.kernel, layer.bias))
    height, width, edge = x.shape[1] - side + 1, x.shape[2], side // 2
    x = jnp.pad(x, ((0, 0), (0, 0), (edge, edge), (0, 0)))
    for row in range(side):
        for column in range(side):
            part = x[:, row : row + height, column : column + width]
            y = y + part * kernel[row, column, :, 0]
    return y


def conv_feed_forward(fc1, conv, fc2, x, relu):
    """`fc2(gelu(conv(fc1(x))))` of bare layers, some rows of the map at a time on one CPU.

    See `rows_in_parts`. A part has a row more above and below, as the convolution sees those.
    """

    def part(x, inside=None):
        y = fc1.call(x)
        y = jnp.maximum(y, 0) if relu else y
        if inside is None:
            y = depthwise_conv(conv, y)
        else:  # the rows around the map are 0 after `fc1`, not before it
            y = _depthwise(conv, y * inside[:, :, None, None].astype(y.dtype))
        return fc2.call(gelu(y))

    sizes = x.shape
    if not all(isinstance(size, int) for size in sizes):
        return part(x)
    batch, height, width = sizes[:3]
    if batch * height * width * fc1.units <= 2 * _PART or jax.device_count() > 1:
        return part(x)
    rows = min(height, max(1, _PART // (width * fc1.units)))
    parts = -(-height // rows)
    rows = -(-height // parts)
    x = jnp.pad(x, ((0, 0), (1, parts * rows - height + 1), (0, 0), (0, 0)))
    x = jnp.stack([x[:, n * rows : (n + 1) * rows + 2] for n in range(parts)], axis=1)
    number = rows * jnp.arange(parts)[:, None] + jnp.arange(-1, rows + 1)
    inside = jnp.broadcast_to((number >= 0) & (number < height), (batch, parts, rows + 2))
    together = max(1, _PART // (rows * width * fc1.units))
    y = _in_parts(
        lambda both: part(*both),
        (x.reshape(-1, *x.shape[2:]), inside.reshape(-1, rows + 2)),
        together,
    )
    return y.reshape(batch, parts * rows, width, -1)[:, :height]


def _in_parts(function, arrays, together):
    """`function` of so many rows of the arrays at a time, which gradients compute anew."""
    count = arrays[0].shape[0]
    steps = -(-count // together)
    together = -(-count // steps)
    arrays = tuple(
        jnp.pad(x, [(0, steps * together - count)] + [(0, 0)] * (x.ndim - 1)).reshape(
            steps, together, *x.shape[1:]
        )
        for x in arrays
    )
    y = jax.lax.map(jax.checkpoint(function), arrays)
    return y.reshape(-1, *y.shape[2:])[:count]


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


def gelu(x):
    """See `keras_pvt.ops.gelu`.

    XLA's erfc takes three times as long as all else in GELU, and its erf cannot be exported to a
    SavedModel.
    """
    if x.dtype == "float64":
        return jax.nn.gelu(x, approximate=False)
    return _gelu(jnp.asarray(x, "float32")).astype(x.dtype)


@jax.custom_jvp
def _gelu(x):
    """GELU of a float32 tensor, within 3e-7: ReLU, less |x| times the tail beyond |x|.

    A product with 1 + erf, which float32 rounds near 2 and near 0, is three times as far off.
    """
    t, tail = _tail(x)
    return jnp.maximum(x, 0) - t * tail


# Differentiating the tail would keep every one of its terms until the backward pass.
@_gelu.defjvp
def _(primals, tangents):
    (x,), (tangent,) = primals, tangents
    t, tail = _tail(x)
    slope = tail - t * jnp.exp(-0.5 * t * t) / math.sqrt(2 * math.pi)  # at -|x|
    return jnp.maximum(x, 0) - t * tail, tangent * jnp.where(x > 0, 1 - slope, slope)


def _tail(x):
    """|x|, and the normal distribution's tail beyond it."""
    t = jnp.minimum(jnp.abs(x), _FAR)
    q = _polynomial(_TAIL, t)
    q = q * q
    q = q * q
    return t, 0.5 / (q * q)


def _polynomial(coefficients, x):
    """The value at `x`, by Horner's rule."""
    value = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = value * x + coefficient
    return value
