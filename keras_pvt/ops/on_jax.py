"""What XLA computes slowly, or cannot export, in another form."""

import functools
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
    kernel, bias = _values(layer, x)
    kernel = kernel.reshape(-1, kernel.shape[-1])

    # Patches are made anew for the gradient: most often the map is kept for others anyway.
    @jax.checkpoint
    def product(x, kernel):
        return _product(patches(x, layer.kernel_size[0]), kernel)

    return product(x, kernel) + bias


def on_cpu() -> bool:
    """Whether what is traced now will run on a CPU."""
    return jax.default_backend() == "cpu"


def dense(layer, x):
    """A bare Dense layer without activation."""
    kernel, bias = _values(layer, x)
    y = _product(x, kernel)
    return y if bias is None else y + bias


@jax.custom_vjp
def add_to_each(x, table):
    """See `keras_pvt.ops.add_to_each`."""
    return x + table


def _differentiate_addition(_, slope):
    """XLA sums over images in 12 ms where this product with ones takes 0.3."""
    rows = slope.reshape(slope.shape[0], -1)
    ones = jnp.ones((1, slope.shape[0]), slope.dtype)
    wide = jnp.promote_types(slope.dtype, "float32")
    total = jnp.matmul(ones, rows, preferred_element_type=wide).astype(slope.dtype)
    return slope, total.reshape(1, *slope.shape[1:])


add_to_each.defvjp(lambda x, table: (x + table, None), _differentiate_addition)


def _values(layer, x):
    """Kernel and bias of a layer, in the dtype of `x`; None for a bias that it has not."""
    return tuple(
        None if v is None else jnp.asarray(v.value, x.dtype) for v in (layer.kernel, layer.bias)
    )


def layer_norm(layer, x):
    """A bare LayerNormalization over the last axis, computed in float32 at least."""
    wide = jnp.promote_types(x.dtype, "float32")
    gamma, beta = (jnp.asarray(v.value, wide) for v in (layer.gamma, layer.beta))
    return _layer_norm(x.astype(wide), gamma, beta, layer.epsilon).astype(x.dtype)


# As JAX itself has it, five arrays of the size of `x` are kept until the backward pass.
@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _layer_norm(x, gamma, beta, epsilon):
    return _normalized(x, gamma, beta, epsilon)[0]


def _normalized(x, gamma, beta, epsilon):
    """The norm, and what its gradient is computed from."""
    mean = x.mean(axis=-1, keepdims=True)
    inverse = jax.lax.rsqrt(jnp.square(x - mean).mean(axis=-1, keepdims=True) + epsilon)
    return (x - mean) * inverse * gamma + beta, (x, mean, inverse, gamma)


def _differentiate_norm(epsilon, kept, slope):
    """Written so that the sums over a row are of products with `x` itself.

    Else XLA spreads mean and inverse over the rows in the forward pass, and keeps that.
    """
    x, mean, inverse, gamma = kept
    along = slope * gamma
    level, product = along.mean(axis=-1, keepdims=True), (along * x).mean(axis=-1, keepdims=True)
    factor = (level * mean - product) * inverse**3
    by_x = along * inverse + x * factor - (factor * mean + level * inverse)
    rows, slopes = x.reshape(-1, x.shape[-1]), slope.reshape(-1, x.shape[-1])
    # Centred before they are summed, as the mean of a row may be far above its deviation.
    by_gamma = inverse.reshape(1, -1) @ (slopes * (rows - mean.reshape(-1, 1)))
    return by_x, by_gamma[0], slopes.sum(axis=0)


_layer_norm.defvjp(_normalized, _differentiate_norm)


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
    kernel, bias = _values(layer, x)
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
    return (slopes @ kernel.T).reshape(x.shape), _by_kernel(rows, slopes)


def _by_kernel(rows, slopes):
    """`rows.T @ slopes`. With the narrower one on the left a CPU takes half the time for it."""
    contract = (((0,), (0,)), ((), ()))
    if rows.shape[1] <= slopes.shape[1]:
        return jax.lax.dot_general(rows, slopes, contract)
    # The barrier keeps XLA from turning the product around.
    return jax.lax.optimization_barrier(jax.lax.dot_general(slopes, rows, contract)).T


_product.defvjp(lambda *args: (_product(*args), args), _differentiate_product)


def feed_forward(fc1, fc2, x):
    """`fc2(gelu(fc1(x)))` of bare layers, some rows at a time on one CPU, see `rows_in_parts`."""
    (kernel1, bias1), (kernel2, bias2) = _values(fc1, x), _values(fc2, x)
    if not all(isinstance(size, int) for size in x.shape):
        return gelu(x @ kernel1 + bias1) @ kernel2 + bias2
    y = _feed_forward(x.reshape(-1, x.shape[-1]), kernel1, bias1, kernel2, bias2)
    return y.reshape(*x.shape[:-1], y.shape[-1])


@jax.custom_vjp
def _feed_forward(x, *weights):
    """`feed_forward` of rows `(N, C)` by kernel, bias, kernel and bias."""
    return _kept_feed_forward(x, *weights)[0]


def _kept_feed_forward(x, kernel1, bias1, kernel2, bias2):
    def last(hidden):
        return gelu(hidden) @ kernel2 + bias2

    weights, width = (kernel1, bias1, kernel2), kernel1.shape[1]
    if _is_divided(x.shape[0], width):
        step = max(1, _PART // width)
        return _in_parts(lambda x: last(x @ kernel1 + bias1), x, 0, step), (x, None, *weights)
    hidden = x @ kernel1 + bias1
    return last(hidden), (x, hidden, *weights)


def _differentiate_feed_forward(kept, slope):
    """The hidden features are computed anew where they are many: to keep them takes longer."""
    x, hidden, kernel1, bias1, kernel2 = kept

    def part(x, hidden, slope):
        # Without the barrier XLA keeps what GELU computed from them in the forward pass.
        y, pull = jax.vjp(gelu, jax.lax.optimization_barrier(hidden))
        by_hidden = pull(slope @ kernel2.T)[0]
        by_weights = _by_kernel(x, by_hidden), by_hidden.sum(0), _by_kernel(y, slope), slope.sum(0)
        return by_hidden @ kernel1.T, by_weights

    if hidden is not None:
        by_x, by_weights = part(x, hidden, slope)
        return by_x, *by_weights

    def add(sums, given):
        x, slope = given
        by_x, by_weights = part(x, x @ kernel1 + bias1, slope)
        return [a + b.astype(a.dtype) for a, b in zip(sums, by_weights, strict=True)], by_x

    shapes = kernel1.shape, bias1.shape, kernel2.shape, slope.shape[1:]
    sums = [jnp.zeros(shape, jnp.promote_types(x.dtype, "float32")) for shape in shapes]
    step = max(1, _PART // kernel1.shape[1])
    given = [_divided(one, 0, step) for one in (x, slope)]
    sums, by_x = jax.lax.scan(add, sums, given)
    return by_x.reshape(-1, x.shape[1])[: x.shape[0]], *(one.astype(x.dtype) for one in sums)


_feed_forward.defvjp(_kept_feed_forward, _differentiate_feed_forward)


def conv_feed_forward(fc1, conv, fc2, x, relu):
    """`fc2(gelu(conv(fc1(x))))` of bare layers, some images or rows at a time on one CPU.

    See `rows_in_parts`.
    """
    edge = conv.kernel_size[0] // 2
    (kernel1, bias1), (kernel2, bias2) = _values(fc1, x), _values(fc2, x)
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
    y = jnp.moveaxis(jax.lax.map(jax.checkpoint(function), _divided(x, axis, step)), 0, axis)
    y = y.reshape(*y.shape[:axis], -1, *y.shape[axis + 2 :])
    return jax.lax.slice_in_dim(y, 0, x.shape[axis], axis=axis)


def _divided(x, axis, step):
    """`(parts, ...)`: at most `step` rows of an axis in each part, the last filled with zeros."""
    count = x.shape[axis]
    parts = -(-count // step)
    step = -(-count // parts)
    edges = [(0, 0)] * x.ndim
    edges[axis] = (0, parts * step - count)
    x = jnp.pad(x, edges)
    return jnp.moveaxis(x.reshape(*x.shape[:axis], parts, step, *x.shape[axis + 1 :]), axis, 0)


def _is_divided(rows, width) -> bool:
    """Whether rows that each become `width` numbers in between are computed in parts."""
    if not (isinstance(rows, int) and isinstance(width, int)) or rows * width <= 2 * _PART:
        return False
    return on_cpu() and jax.device_count() == 1


def rows_in_parts(function, x, width):
    """`function(x)`, on one CPU some rows at a time where all would be many numbers.

    It takes less time in gradients too, see `_in_parts`.

    Args:
        function: of `(..., rows, C)` makes `(..., rows, any)`, each row for itself.
        x: `(..., N, C)`.
        width: numbers that a row becomes in between, over all leading axes.
    """
    if not _is_divided(x.shape[-2], width):
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
