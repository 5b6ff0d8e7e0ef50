"""Products of windows of a pyramid with matrices on JAX: RoIAlign on a CPU."""

import functools

import jax
import jax.numpy as jnp

# Windows whose products are computed together, and numbers that these have, so that they stay in
# the cache.
_WINDOWS = 16
_RESULTS = 1 << 18


def windows_singly(maps, windows, down, across):
    """See `keras_pvt.ops.windows_singly`."""
    batch, count, size = down.shape[:3]
    dtype = jnp.promote_types(maps[0].dtype, "float32")
    # All maps on one canvas: the first, and below it all others in a row.
    shapes = [x.shape[1:3] for x in maps]
    places, width = [(0, 0)], 0
    for shape in shapes[1:]:
        places.append((shapes[0][0], width))
        width += shape[1]
    sides = shapes[0][0] + max((a for a, _ in shapes[1:]), default=0), max(shapes[0][1], width)
    canvas = jnp.zeros((batch, *sides, maps[0].shape[3]), dtype)
    for x, (row, column) in zip(maps, places, strict=True):
        canvas = jax.lax.dynamic_update_slice(canvas, x.astype(dtype), (0, row, column, 0))

    n, top, rows, left, columns = windows.reshape(-1, 5).T
    place = {
        "image": jnp.repeat(jnp.arange(batch, dtype="int32"), count),
        "first": jnp.stack([top, left], axis=1) + jnp.asarray(places, "int32")[n],
        "sides": jnp.stack([rows, columns], axis=1),
    }
    weights = tuple(x.reshape(batch * count, size, -1).astype(dtype) for x in (down, across))
    found = _windows(shapes[-1], canvas, place, weights)
    return found.reshape(batch, count, *found.shape[1:]).astype(maps[0].dtype)


# As JAX itself has it, each window would have a gradient of a whole canvas, to be added up.
@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _windows(coarsest, canvas, place, weights):
    """`windows_singly`, of a canvas `(B, H, W, C)`: `(N, s, s, C)`.

    A part of a window has weights for few of its cells, which are added up one after the other: a
    loop of matrix products with whole windows takes four times as long.

    Args:
        coarsest: sides of the last map.
        canvas: of all maps.
        place: of each window: "image", int32 `(N,)`; "first", its (row, column) on the canvas, and
            "sides", its (rows, columns), int32 `(N, 2)`.
        weights: of rows and of columns, `(N, s, any)` each.
    """
    (_, height, width, channels), (count, size, _) = canvas.shape, weights[0].shape
    cells = canvas.reshape(-1, channels)
    (top, rows), (left, columns) = map(_span, weights)
    # One more cell without a weight, for parts that have fewer than others.
    by_row, by_column = (jnp.pad(x, ((0, 0), (0, 0), (0, 1))) for x in weights)
    row = place["image"][:, None] * height + place["first"][:, :1] + top
    column = place["first"][:, 1:] + left
    # Those that go together are to have as many cells in a part.
    together = max(1, min(_WINDOWS, _RESULTS // (size * size * channels)))
    steps = -(-count // together)
    order = jnp.lexsort((columns, rows)).astype("int32")
    order = jnp.pad(order, (0, steps * together - count), mode="edge").reshape(steps, together)

    def step(number, found):
        own = order[number]
        most = jnp.max(columns[own])

        def add(cell, total):
            down, right = cell // most, cell % most
            weight = _at(by_row, own, top, down)[:, :, None]
            weight = weight * _at(by_column, own, left, right)[:, None]
            at = (row[own] + down)[:, :, None] * width + (column[own] + right)[:, None]
            return total + cells.at[at].get(mode="clip") * weight[..., None]

        total = jnp.zeros((together, size, size, channels), canvas.dtype)
        total = jax.lax.fori_loop(0, jnp.max(rows[own]) * most, add, total)
        for n in range(together):
            found = jax.lax.dynamic_update_slice(found, total[n : n + 1], (own[n], 0, 0, 0))
        return found

    found = jnp.zeros((count, size, size, channels), canvas.dtype)
    return jax.lax.fori_loop(0, steps, step, found)


def _span(weights):
    """The first cell with a weight of each part, `(N, s)`, and the most cells from there to the
    last of any part, `(N,)`."""
    cell = jnp.arange(weights.shape[2], dtype="int32")
    used = weights != 0
    last = jnp.max(jnp.where(used, cell, -1), axis=2)
    first = jnp.min(jnp.where(used, cell, weights.shape[2]), axis=2)
    first = jnp.where(last < 0, 0, first)
    return first, jnp.max(last + 1 - first, axis=1)


def _at(weights, own, first, number):
    """Of some windows, the weights of one cell of each part, `(n, s)`; the last weight is 0."""
    cell = (first[own] + number)[:, :, None]
    return jnp.take_along_axis(weights[own], cell, axis=2, mode="clip")[:, :, 0]


def _differentiate_windows(coarsest, kept, slope):
    (canvas, place, weights), channels = kept, slope.shape[3]
    sides = canvas.shape[1:3]
    # Sizes are static, and so each window goes with others into a loop over windows as large as
    # the largest of them. Below the last level the area of a box is bounded, so that one side at
    # least is short.
    sizes: list = []
    for a, b in ((16, 16), (32, 32), (32, sides[1]), (sides[0], 32), coarsest, sides):
        a, b = min(a, sides[0]), min(b, sides[1])
        if not any(a <= more and b <= wider for more, wider in sizes):
            sizes.append((a, b))
    fits = jnp.all(place["sides"][:, None] <= jnp.asarray(sizes, "int32"), axis=2)
    kind = jnp.argmax(fits, axis=1)
    order = jnp.argsort(kind).astype("int32")
    ends = jnp.cumsum(jnp.bincount(kind, length=len(sizes))).astype("int32")
    # What would reach out of the canvas is moved into it, and the weights the other way.
    weights = [
        jnp.pad(x, ((0, 0), (0, 0), (side, max(0, side - x.shape[2]))))
        for x, side in zip(weights, sides, strict=True)
    ]

    def add(size, number, total):
        own = order[number]
        first = place["first"][own]
        begin = jnp.minimum(first, jnp.asarray(sides, "int32") - jnp.asarray(size, "int32"))
        left, right = (
            jax.lax.dynamic_slice(x, (own, 0, edge - by), (1, x.shape[1], side))[0]
            for x, edge, by, side in zip(weights, sides, first - begin, size, strict=True)
        )
        part = jnp.einsum("jx,ijc->ixc", right, slope[own])
        part = left.T @ part.reshape(left.shape[0], -1)
        at = (place["image"][own], *begin, 0)
        window = jax.lax.dynamic_slice(total, at, (1, *size, channels))
        window = window + part.reshape(window.shape)
        return jax.lax.dynamic_update_slice(total, window, at)

    total, start = jnp.zeros_like(canvas), 0
    for end, size in zip(ends, sizes, strict=True):
        total = jax.lax.fori_loop(start, end, functools.partial(add, size), total)
        start = end
    return total, None, None


_windows.defvjp(lambda *args: (_windows(*args), args[1:]), _differentiate_windows)
