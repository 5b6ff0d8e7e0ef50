"""How arrays lie in a torch checkpoint and in Keras: each pair declares both directions."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Arrays = tuple[np.ndarray, ...]


class Layout(NamedTuple):
    """Two inverse functions, from the arrays of one map entry to those of the other side.

    Neither copies where a view will do. Both raise ValueError for an array of a rank, or a
    table of a length, that they cannot place.
    """

    to_keras: Callable[..., Arrays]
    to_torch: Callable[..., Arrays]


def _permuted(to_keras: tuple[int, ...]) -> Layout:
    """The axes of one array in another order."""
    to_torch = tuple(int(axis) for axis in np.argsort(to_keras))
    return Layout(lambda x: (x.transpose(to_keras),), lambda x: (x.transpose(to_torch),))


def joined(layout: Layout) -> Layout:
    """Two arrays in the checkpoint that are one in Keras: halves of torch's first axis."""

    def to_keras(first, second):
        return layout.to_keras(np.concatenate([first, second]))

    def to_torch(x):
        (both,) = layout.to_torch(x)
        return tuple(np.split(both, 2))

    return Layout(to_keras, to_torch)


def cut(layout: Layout, parts: int) -> Layout:
    """One array in the checkpoint that is several in Keras: equal parts of torch's first axis."""

    def to_keras(x):
        return tuple(y for part in np.split(x, parts) for y in layout.to_keras(part))

    def to_torch(*arrays):
        return (np.concatenate([x for array in arrays for x in layout.to_torch(array)]),)

    return Layout(to_keras, to_torch)


def split(layout: Layout, at: Callable[[int], int], axis: int = 0) -> Layout:
    """One array in the checkpoint that is two in Keras.

    Args:
        layout: of each of the two.
        at: where the first ends, from how long the axis is.
        axis: of the checkpoint's array.
    """

    def to_keras(x):
        parts = np.split(x, [at(x.shape[axis])], axis)
        return tuple(part for half in parts for part in layout.to_keras(half))

    def to_torch(*parts):
        halves = [half for part in parts for half in layout.to_torch(part)]
        return (np.concatenate(halves, axis),)

    return Layout(to_keras, to_torch)


def _to_grid(table):
    batch, cells, channels = table.shape
    side = math.isqrt(cells)
    if batch != 1 or side * side != cells:
        raise ValueError(f"a position table {table.shape} is no square grid")
    return table.reshape(1, side, side, channels)


def _to_rows(grid):
    return grid.reshape(1, -1, grid.shape[-1])


def _split_class_row(table):
    if table.ndim != 3:
        raise ValueError(f"a position table has 3 axes, not {table.ndim}")
    return table[:, :1], _to_grid(table[:, 1:])


def _join_class_row(position, grid):
    if position is None:
        position = np.zeros((1, 1, grid.shape[-1]), grid.dtype)
    return (np.concatenate([position, _to_rows(grid)], axis=1),)


def flattened(rows: int, columns: int) -> Layout:
    """Of a dense layer over a map `(rows, columns, C)` that torch flattens with C first."""

    def to_keras(x):
        out = x.shape[0]
        return (x.reshape(out, -1, rows, columns).transpose(2, 3, 1, 0).reshape(-1, out),)

    def to_torch(x):
        out = x.shape[1]
        return (x.reshape(rows, columns, -1, out).transpose(3, 2, 0, 1).reshape(out, -1),)

    return Layout(to_keras, to_torch)


def _dense_of(kernel):
    if kernel.ndim != 4 or kernel.shape[2:] != (1, 1):
        raise ValueError(f"a kernel {kernel.shape} is not that of a 1 x 1 convolution")
    return (kernel[:, :, 0, 0].T,)


SAME = Layout(lambda x: (x,), lambda x: (x,))
# (out, in) to (in, out)
DENSE = _permuted((1, 0))
# (out, in, height, width) to (height, width, in, out); of a transposed convolution, in and out
# have changed places on both sides.
CONV = _permuted((2, 3, 1, 0))
# (out, in, 1, 1) to (in, out): a dense layer that is a convolution there.
POINTWISE = Layout(_dense_of, lambda x: (x.T[:, :, None, None],))
# (C, 1, height, width) to (height, width, C, 1)
DEPTHWISE = _permuted((2, 3, 0, 1))
# How many batches torch's norm has seen, which nothing reads: 0 on the way back.
COUNTER = Layout(lambda x: (), lambda: (np.zeros((), "int64"),))
# (1, cells, C) to (1, rows, columns, C)
POSITION = Layout(lambda x: (_to_grid(x),), lambda x: (_to_rows(x),))
# (1, 1 + cells, C) to the class token's (1, 1, C) and (1, rows, columns, C). A pyramid has no
# class token: None stands for it, and official dense code wants its row all the same: zeros.
POSITION_WITH_CLASS = Layout(_split_class_row, _join_class_row)
