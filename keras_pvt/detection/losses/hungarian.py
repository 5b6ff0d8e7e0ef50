"""The losses of DETR: queries are matched with objects, one to one."""

import math
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_pvt.detection.losses.focal import l1_loss
from keras_pvt.detection.ops import boxes as box_ops
from keras_pvt.ops import CALLS_HOST, class_crossentropy, on_host, take_rows
from keras_pvt.utils.extras import needed_for

# In place of a cost that is not finite.
_DEAR = 1e4
_FAR = math.inf


def assign(costs, exists):
    """Give each row a column of its own, so that the sum of costs is the least possible.

    SciPy solves it on the CPU, but for JAX, whose programs cannot wait for the host:
    `shortest_augmenting_paths` does it there. The result has no gradient.

    Args:
        costs: float tensor `(B, N, M)`, N and M static; a NaN or an infinity counts as 1e4,
            which should be more than any other.
        exists: boolean tensor `(B, N)`: False for rows that get no column.
    Returns:
        int32 tensor `(B, M)`: the row of each column, or -1. Where there are more rows than
        columns, each column gets a row.
    Raises:
        ImportError: SciPy is not installed; JAX brings it.
    """
    costs = ops.cast(ops.stop_gradient(costs), "float32")
    costs = ops.where(ops.isfinite(costs), costs, _DEAR)
    if not CALLS_HOST:
        return shortest_augmenting_paths(costs, exists)
    return on_host(_by_scipy, (costs.shape[0], costs.shape[2]), costs, exists)


def _by_scipy(costs: np.ndarray, exists: np.ndarray) -> np.ndarray:
    with needed_for("training DETR", "detection"):
        from scipy.optimize import linear_sum_assignment

    owner = np.full((len(costs), costs.shape[2]), -1, "int32")
    for found, own, rows in zip(owner, costs, exists, strict=True):
        (numbers,) = np.nonzero(rows)
        row, column = linear_sum_assignment(own[numbers])
        found[column] = numbers[row]
    return owner


def shortest_augmenting_paths(costs, exists):
    """`assign` as a program of array operations.

    Costs that differ by less than 1e-6 of their size count as equal.

    Source:
        Crouse, On implementing 2D rectangular assignment algorithms, 2016, of all problems side
        by side. Differs: first each row takes its cheapest column, where no row before wants
        it, which leaves fewer paths to look for.
    """
    n, m = costs.shape[1:]
    if n <= m:
        return _assigned(costs, exists)[0]
    # Columns look for rows, as they are fewer. One that ends with a row that does not exist gets
    # none: none does that as long as it can have another.
    dear = ops.max(costs, axis=(1, 2), keepdims=True) + 1.0
    costs = ops.swapaxes(ops.where(exists[..., None], costs, dear), 1, 2)
    row = _assigned(costs, ops.ones_like(costs[..., 0], "bool"))[1]
    return ops.where(take_rows(exists, row), row, -1)


def _assigned(costs, exists):
    """The row of each column `(B, M)`, and the column of each row `(B, N)`, or -1; N is at most M.

    The time grows as N * N * M: as many paths as rows, of as many steps at most, each of which
    looks at every column.
    """
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
    return state[2:4]


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


# Weights, in the costs of an assignment and in the losses.
CLASS, BOX, GIOU = 1.0, 5.0, 2.0
# Weight of "no object" in the class loss.
BACKGROUND = 0.1
FORMAT = "rel_center_xywh"


class HungarianLosses(NamedTuple):
    """The weighted losses of each layer, each `(L,)`; the loss is their sum."""

    of_class: object
    of_box: object
    of_giou: object


def hungarian_losses(logits, boxes, labels, targets) -> HungarianLosses:
    """The Hungarian loss: queries are matched with objects one to one, in each layer by itself.

    The matching has the least cost in total. A query without an object should predict "no
    object".

    Args:
        logits: float tensor `(B, L, Q, K + 1)`, no softmax, "no object" last.
        boxes: "rel_center_xywh", float tensor `(B, L, Q, 4)`.
        labels: tensor `(B, G)`: the class, 0 to K - 1; below 0 for padding.
        targets: "rel_center_xywh", float tensor `(B, G, 4)`; those without area, or with
            a NaN or an infinity, do not count. Of more than Q objects in an image, Q count.
    Source:
        DETR, arXiv 2005.12872, equations 1 and 2, appendix A.2; mmdetection 2.13
        mmdet/models/dense_heads/detr_head.py, where a batch is that of one device.
    """
    labels, targets, exists = _whole(labels, targets)
    batch, (layers, queries, classes) = ops.shape(logits)[0], logits.shape[1:]
    background = classes - 1
    objects = targets.shape[1]
    costs = matching_costs(logits, boxes, labels, targets)
    exists = ops.logical_and(exists[:, None], ops.ones((1, layers, 1), "bool"))
    owner = assign(ops.reshape(costs, (-1, objects, queries)), ops.reshape(exists, (-1, objects)))
    owner = ops.reshape(owner, (batch, layers * queries))
    found = ops.reshape(owner >= 0, (batch, layers, queries))
    owner = ops.maximum(owner, 0)
    own = ops.reshape(take_rows(targets, owner), (batch, layers, queries, 4))
    classes = ops.reshape(take_rows(labels, owner), (batch, layers, queries))

    found = ops.cast(found, logits.dtype)
    weights = found + BACKGROUND * (1 - found)
    classes = ops.where(found > 0, classes, background)
    of_class = class_crossentropy(classes, logits) * weights
    share = CLASS / ops.maximum(_of_layer(weights), 1.0)
    number = ops.maximum(_of_layer(found), 1.0)
    giou = box_ops.giou(_corners(boxes), _corners(own))
    return HungarianLosses(
        _of_layer(of_class) * share,
        _of_layer(l1_loss(boxes, own) * found) * BOX / number,
        _of_layer((1 - giou) * found) * GIOU / number,
    )


def matching_costs(logits, boxes, labels, targets):
    """The cost of each pair of object and query, `(B, L, G, Q)`."""
    probability = ops.softmax(logits, axis=-1)
    one_hot = ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype)  # (B, G, K + 1)
    of_class = ops.einsum("blqk,bgk->blgq", probability, one_hot)
    boxes, targets = boxes[:, :, None], targets[:, None, :, None]
    giou = box_ops.giou(_corners(boxes), _corners(targets))
    return BOX * l1_loss(boxes, targets) - CLASS * of_class - GIOU * giou


def _whole(labels, targets):
    """At least one object of each image, in finite numbers, and which of them count."""
    labels, targets = ops.cast(labels, "int32"), ops.cast(targets, "float32")
    if targets.shape[1] == 0:
        labels = ops.pad(labels, ((0, 0), (0, 1)), constant_values=-1)
        targets = ops.pad(targets, ((0, 0), (0, 1), (0, 0)))
    whole = ops.all(ops.isfinite(targets), axis=-1)
    targets = ops.where(whole[..., None], targets, 0.0)
    exists = ops.logical_and(labels >= 0, ops.all(targets[..., 2:] > 0, axis=-1))
    return ops.maximum(labels, 0), targets, exists


def _corners(boxes):
    return box_ops.convert(boxes, FORMAT, "rel_xyxy")


def _of_layer(x):
    """Sum of `(B, L, Q)` over images and queries."""
    return ops.sum(x, axis=(0, 2))
