"""The assignment of rows to columns that costs least in all."""

import math

import numpy as np
from keras import ops

from keras_pvt.ops import CALLS_HOST, on_host, take_rows

# In place of a cost that is none.
_DEAR = 1e4
_FAR = math.inf


def assign(costs, exists):
    """Give each row a column of its own, so that the sum of costs is the least possible.

    With torch and TensorFlow SciPy does it, on the CPU; in a program of JAX, which cannot wait
    for that, `by_paths`. Nothing is differentiated.

    Args:
        costs: float tensor `(B, N, M)`, N and M static; a NaN or an infinity counts as 1e4,
            which should be more than any other.
        exists: boolean tensor `(B, N)`: other rows get no column.
    Returns:
        int32 tensor `(B, M)`: the row of each column, or -1. Where there are more rows than
        columns, as many rows as columns get one.
    Raises:
        ImportError: no SciPy; JAX brings it.
    """
    costs = ops.cast(ops.stop_gradient(costs), "float32")
    costs = ops.where(ops.isfinite(costs), costs, _DEAR)
    if not CALLS_HOST:
        return by_paths(costs, exists)
    return on_host(_by_scipy, (costs.shape[0], costs.shape[2]), costs, exists)


def _by_scipy(costs: np.ndarray, exists: np.ndarray) -> np.ndarray:
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise ImportError(
            'training DETR needs SciPy: pip install "keras-pvt[detection]".'
        ) from None

    owner = np.full((len(costs), costs.shape[2]), -1, "int32")
    for found, own, rows in zip(owner, costs, exists, strict=True):
        (numbers,) = np.nonzero(rows)
        row, column = linear_sum_assignment(own[numbers])
        found[column] = numbers[row]
    return owner


def by_paths(costs, exists):
    """See `assign`. Costs that differ by less than 1e-6 of their size are the same.

    Source:
        Crouse, On implementing 2D rectangular assignment algorithms, 2016, of all problems side
        by side. Differs: first each row takes its cheapest column, where no row before wants
        it, which leaves fewer paths to look for.
    """
    n, m = costs.shape[1:]
    if n > m:  # a row that ends in one of the columns that are added gets none
        dear = ops.max(costs, axis=(1, 2), keepdims=True) + 1.0
        costs = ops.concatenate([costs, ops.zeros((1, n, n - m)) + dear], axis=2)
    rows, columns = (ops.arange(size, dtype="int32") for size in costs.shape[1:])
    best = _argmin(costs)
    wants = ops.logical_and(best[..., None] == columns, exists[..., None])  # (B, N, M)
    gets = ops.logical_and(wants, ops.cumsum(ops.cast(wants, "int32"), axis=1) == 1)
    owner = ops.max(ops.where(gets, rows[:, None], -1), axis=1)
    served = ops.any(gets, axis=2)
    # Duals: no cost is less than the sum of its row's and its column's, and those of what is
    # assigned are as large as it.
    start = {
        "of_row": ops.min(costs, axis=2),
        "of_column": ops.zeros_like(costs[:, 0]),
        "owner": owner,
        "column": ops.where(served, best, -1),
        "waiting": ops.logical_and(exists, ops.logical_not(served)),
    }

    def serve(of_row, of_column, owner, column, waiting):
        """The next row of each problem that has one."""
        active = ops.any(waiting, axis=1)
        row = _argmax(waiting)
        this = ops.logical_and(rows == row[:, None], active[:, None])
        end, low, reach, via, seen = _path(costs, of_row, of_column, owner, row, active)
        gain = ops.where(ops.logical_and(seen, active[:, None]), low[:, None] - reach, 0.0)
        passed = ops.where(column >= 0, take_rows(gain, ops.maximum(column, 0)), 0.0)
        of_row = of_row + passed + ops.where(this, low[:, None], 0.0)
        owner, column = _shifted(owner, column, via, end, row, active)
        waiting = ops.logical_and(waiting, ops.logical_not(this))
        return of_row, of_column - gain, owner, column, waiting

    state = ops.while_loop(lambda *state: ops.any(state[-1]), serve, tuple(start.values()))
    return state[2][:, :m]


def _path(costs, of_row, of_column, owner, row, active):
    """The shortest way from a row to a column without owner.

    Returns:
        That column `(B,)`; how long the way is `(B,)`; and to each column how long, from which
        row, and whether it was passed, `(B, M)`.
    """
    columns = ops.arange(costs.shape[2], dtype="int32")

    def step(here, end, low, reach, via, seen):
        going = ops.logical_and(active, end < 0)
        length = take_rows(costs, here[:, None])[:, 0] - of_column
        length = length + low[:, None] - take_rows(of_row, here[:, None])
        shorter = ops.logical_and(length < reach, ops.logical_not(seen))
        shorter = ops.logical_and(shorter, going[:, None])
        reach = ops.where(shorter, length, reach)
        via = ops.where(shorter, here[:, None], via)
        ahead = ops.where(seen, _FAR, reach)
        nearest = _argmin(ahead)
        low = ops.where(going, ops.min(ahead, axis=1), low)
        found = ops.logical_and(columns == nearest[:, None], going[:, None])
        following = take_rows(owner, nearest[:, None])[:, 0]
        free = following < 0
        end = ops.where(ops.logical_and(going, free), nearest, end)
        here = ops.where(ops.logical_and(going, ops.logical_not(free)), following, here)
        return here, end, low, reach, via, ops.logical_or(seen, found)

    def searching(here, end, *rest):
        return ops.any(ops.logical_and(active, end < 0))

    low, reach = ops.zeros_like(of_row[:, 0]), ops.full_like(of_column, _FAR)
    start = (row, -ops.ones_like(row), low, reach, -ops.ones_like(owner), reach < 0)
    return ops.while_loop(searching, step, start)[1:]


def _shifted(owner, column, via, end, row, active):
    """Owners of columns, and columns of rows, once those on a way have each moved on by one."""
    rows, columns = (ops.arange(x.shape[1], dtype="int32") for x in (column, owner))

    def step(owner, column, free, walking):
        mover = take_rows(via, free[:, None])
        left = take_rows(column, mover)[:, 0]
        owner = ops.where(_only(columns, free, walking), mover, owner)
        column = ops.where(_only(rows, mover[:, 0], walking), free[:, None], column)
        walking = ops.logical_and(walking, mover[:, 0] != row)
        return owner, column, ops.where(walking, left, 0), walking

    start = (owner, column, ops.maximum(end, 0), active)
    # What is not walked has no way, and nothing moves there.
    via = ops.maximum(via, 0)
    return ops.while_loop(lambda *state: ops.any(state[-1]), step, start)[:2]


def _only(numbers, chosen, where):
    """Boolean `(B, n)`: the chosen number `(B,)` of `(n,)`, in problems where it counts."""
    return ops.logical_and(numbers == chosen[:, None], where[:, None])


def _argmin(x):
    return ops.cast(ops.argmin(x, axis=-1), "int32")


def _argmax(x):
    return ops.cast(ops.argmax(ops.cast(x, "int32"), axis=-1), "int32")
