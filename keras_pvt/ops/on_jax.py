"""What XLA computes slowly, or cannot export, in another form."""

import math

import jax
import jax.numpy as jnp
import keras

from keras_pvt.ops.shortcuts import is_plain, patches
from keras_pvt.ops.windows_on_jax import windows_singly as windows_singly

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
    return _depthwise(layer, _surrounded(x, layer.kernel_size[0] // 2))


def _surrounded(x, edge):
    """A map with `edge` cells of 0 around it."""
    return jnp.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))


def _depthwise(layer, x):
    """`depthwise_conv` of a map that has its surroundings already."""
    kernel, bias = (jnp.asarray(v.value, x.dtype) for v in (layer.kernel, layer.bias))
    return _shifted_products(x, kernel[..., 0], bias)


@jax.custom_vjp
def _shifted_products(x, kernel, bias):
    """Depthwise convolution of `(B, H, W, C)` by `(h, w, C)`, without padding."""
    rows, columns = kernel.shape[:2]
    height, width = x.shape[1] - rows + 1, x.shape[2] - columns + 1
    y = bias
    for row in range(rows):
        for column in range(columns):
            y = y + x[:, row : row + height, column : column + width] * kernel[row, column]
    return y


def _differentiate(kept, slope):
    """Gradients of `_shifted_products` by each argument.

    XLA would sum over images and rows on one thread, a number at a time, and compute `slope` anew
    for each use. So it is used once, and a loop adds whole rows, which takes a sixth of the time.
    """
    x, kernel = kept
    rows, columns, channels = kernel.shape
    batch, height, width = slope.shape[:3]
    edges = ((0, 0), (rows - 1, rows - 1), (columns - 1, columns - 1), (0, 0))
    slope = jnp.pad(slope, edges)
    by_x = _shifted_products(slope, kernel[::-1, ::-1], jnp.zeros((), slope.dtype))
    taps = [(row, column) for row in range(rows) for column in range(columns)]

    def add(sums, number):
        place = (number // height, number % height, 0, 0)
        seen = jax.lax.dynamic_slice(x, place, (1, rows, *x.shape[2:]))[0]
        own = jax.lax.dynamic_slice(slope, place, (1, rows, *slope.shape[2:]))[0]
        own = own[rows - 1, columns - 1 : columns - 1 + width]
        terms = [seen[row, column : column + width] * own for row, column in taps]
        return [a + b.astype(a.dtype) for a, b in zip(sums, [*terms, own], strict=True)], None

    zeros = [jnp.zeros((width, channels), "float32")] * (len(taps) + 1)
    sums, _ = jax.lax.scan(add, zeros, jnp.arange(batch * height))
    *by_kernel, by_bias = (total.sum(axis=0).astype(kernel.dtype) for total in sums)
    return by_x, jnp.stack(by_kernel).reshape(kernel.shape), by_bias


_shifted_products.defvjp(lambda *args: (_shifted_products(*args), args[:2]), _differentiate)


@jax.custom_vjp
def _product(x, kernel):
    """`x @ kernel`, with gradients for which XLA makes no transposed copy of the slope.

    As JAX itself asks for them, a slope that a convolution gives is computed once for each use,
    and once the other way around.
    """
    return x @ kernel


def _differentiate_product(kept, slope):
    x, kernel = kept
    rows, slopes = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
    by_kernel = jax.lax.dot_general(slopes, rows, (((0,), (0,)), ((), ()))).T
    return (slopes @ kernel.T).reshape(x.shape), by_kernel


_product.defvjp(lambda *args: (_product(*args), args), _differentiate_product)


def conv_feed_forward(fc1, conv, fc2, x, relu):
    """`fc2(gelu(conv(fc1(x))))` of bare layers, some images or rows at a time on one CPU.

    See `rows_in_parts`.
    """
    edge = conv.kernel_size[0] // 2
    (kernel1, bias1), (kernel2, bias2) = (
        (jnp.asarray(layer.kernel.value, x.dtype), jnp.asarray(layer.bias.value, x.dtype))
        for layer in (fc1, fc2)
    )
    # The convolution's zeros are laid around what is narrow yet. So that they are 0 after `fc1`
    # too, its bias comes of one more channel, which is 0 there.
    kernel1 = jnp.concatenate([kernel1, bias1[None]])

    def part(x):
        y = _product(x, kernel1)
        y = gelu(_depthwise(conv, jnp.maximum(y, 0) if relu else y))
        return _product(y, kernel2) + bias2

    batch, height, width = x.shape[:3]
    x = _surrounded(jnp.concatenate([x, jnp.ones_like(x[..., :1])], axis=-1), edge)
    row = width * fc1.units
    known = all(isinstance(size, int) for size in x.shape)
    if not known or jax.device_count() > 1 or batch * height * row <= _PART:
        return part(x)
    if height * row <= _PART:
        return _in_parts(part, x, 0, _PART // (height * row))

    # A part of an image has rows of its neighbours above and below, as the convolution sees them.
    parts = -(-height // max(1, _PART // row))
    rows = -(-height // parts)
    x = jnp.pad(x, ((0, 0), (0, parts * rows - height), (0, 0), (0, 0)))
    x = jnp.stack([x[:, n * rows : (n + 1) * rows + 2 * edge] for n in range(parts)], axis=1)
    y = _in_parts(part, x.reshape(-1, *x.shape[2:]), 0, 1)
    return y.reshape(batch, parts * rows, width, -1)[:, :height]


def _in_parts(function, x, axis, step):
    """`function(x)`, at most `step` rows of an axis at a time, each row for itself.

    Gradients compute a part anew instead of keeping it.
    """
    count = x.shape[axis]
    parts = -(-count // step)
    step = -(-count // parts)
    edges = [(0, 0)] * x.ndim
    edges[axis] = (0, parts * step - count)
    x = jnp.pad(x, edges)
    x = x.reshape(*x.shape[:axis], parts, step, *x.shape[axis + 1 :])
    y = jax.lax.map(jax.checkpoint(function), jnp.moveaxis(x, axis, 0))
    y = jnp.moveaxis(y, 0, axis)
    y = y.reshape(*y.shape[:axis], parts * step, *y.shape[axis + 2 :])
    return jax.lax.slice_in_dim(y, 0, count, axis=axis)


def cells_in_parts(function, x, width):
    """`rows_in_parts` for all cells of `(..., C)` alike, where their number is known."""
    if not all(isinstance(size, int) for size in x.shape):
        return function(x)
    y = rows_in_parts(function, x.reshape(-1, x.shape[-1]), width)
    return y.reshape(*x.shape[:-1], y.shape[-1])


def rows_in_parts(function, x, width):
    """`function(x)`, on one CPU some rows at a time where all would be many numbers.

    It takes less time in gradients too, see `_in_parts`.

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
    return _in_parts(function, x, x.ndim - 2, max(1, _PART // width))


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


def takes_windows_singly(maps, boxes) -> bool:
    """See `keras_pvt.ops.takes_windows_singly`."""
    known = all(isinstance(size, int) for x in (*maps, boxes) for size in x.shape)
    return known and on_cpu() and jax.device_count() == 1


def longest_window(count, sides):
    """See `keras_pvt.ops.longest_window`."""
    return max(sides)


# Rows that are computed together, or left out.
_ROWS = 10


def of_first_rows(function, numbers, *tensors):
    """See `keras_pvt.ops.of_first_rows`. It has a gradient, unlike a loop of so many rounds."""
    count = tensors[0].shape[1]
    parts = -(-count // _ROWS)

    def divided(x):
        x = jnp.pad(x, [(0, 0), (0, parts * _ROWS - count)] + [(0, 0)] * (x.ndim - 2))
        return jnp.moveaxis(x.reshape(x.shape[0], parts, _ROWS, *x.shape[2:]), 1, 0)

    tensors = tuple(divided(x) for x in tensors)
    spec = jax.eval_shape(function, *(x[0] for x in tensors))

    def nothing(*_):
        return jnp.zeros(spec.shape, spec.dtype)

    def part(given):
        first, *of_rows = given
        return jax.lax.cond(first < jnp.max(numbers), function, nothing, *of_rows)

    found = jax.lax.map(part, (_ROWS * jnp.arange(parts), *tensors))
    found = jnp.moveaxis(found, 0, 1)
    return found.reshape(found.shape[0], parts * _ROWS, *found.shape[3:])[:, :count]
