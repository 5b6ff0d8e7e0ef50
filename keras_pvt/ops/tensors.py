"""Operations that Keras lacks, or that not every format to export to has."""

from keras import ops

from keras_pvt.ops.backend import BACKEND, engine


def argmax(x):
    """Index of the largest value along the last axis, int32.

    Keras's looks at the sign of zeros on TensorFlow, which neither TFLite nor ONNX can express.
    """
    if BACKEND == "tensorflow":
        return engine.argmax(x)
    return ops.cast(ops.argmax(x, axis=-1), "int32")


def class_crossentropy(labels, logits):
    """Crossentropy of classes.

    Args:
        labels: int32 `(...)`, each 0 to K - 1.
        logits: float `(..., K)`, no softmax.
    Returns:
        `(...)`, in the dtype of `logits`.
    """
    if BACKEND == "torch":
        return engine.class_crossentropy(labels, logits)
    return ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def take_rows(x, index):
    """Rows of `(B, N)` or `(B, N, C)` by integers `(B, K)`: `(B, K)` or `(B, K, C)`."""
    if BACKEND == "torch":
        return engine.take_rows(x, index)
    index = ops.expand_dims(index, -1) if len(x.shape) == 3 else index
    return ops.take_along_axis(x, index, axis=1)


def fixed_point(step, x):
    """Apply a function to a tensor, again and again, until that changes nothing.

    Args:
        step: tensor to tensor of the same shape and dtype.
        x: where to start.
    """
    if BACKEND == "torch" and engine.is_exporting():
        return engine.fixed_point(step, x)
    return ops.while_loop(
        lambda x, before: ops.any(x != before), lambda x, _: (step(x), x), (step(x), x)
    )[0]


def greedy(beats, items, valid):
    """What stays of sorted items, if each goes that a better one which stays beats.

    Args:
        beats: of items `(B, n, ...)` and `(B, m, ...)`, which of the first beat which of the
            second, boolean `(B, n, m)`.
        items: tensors `(B, K, ...)`, the best first, K static.
        valid: boolean tensor `(B, K)`; other items neither stay nor beat any.
    Returns:
        Boolean tensor `(B, K)`.
    """
    if BACKEND == "torch" and engine.runs_as_it_comes(*items):
        return engine.greedy(beats, items, valid)
    rank = ops.arange(valid.shape[1])
    wins = ops.logical_and(ops.expand_dims(rank, 1) < rank, beats(items, items))

    # An item is settled once all better ones are, so that each pass settles at least one more
    # and what a pass does not change is the greedy answer. A few passes do in practice.
    def unbeaten_by(keep):
        beaten = ops.any(ops.logical_and(wins, ops.expand_dims(keep, 2)), axis=1)
        return ops.logical_and(valid, ops.logical_not(beaten))

    return fixed_point(unbeaten_by, valid)


def onnx_roi_align(maps, boxes, level, size: int, finest: int):
    """`keras_pvt.detection.ops.roi_align` by ONNX's RoiAlign, for a file that is being written.

    Args:
        maps, boxes, size, finest: as there.
        level: which of the maps each box is looked at in, int tensor `(B, N)`.
    """
    return engine.onnx_roi_align(maps, boxes, level, size, finest)


def takes_windows_singly(maps, boxes) -> bool:
    """Whether `windows_singly` is to be used: where a program may do a window after the other.

    On a CPU that takes a fraction of the time of all windows at once, which have to be as large as
    the largest; elsewhere, and in a graph that is written to a file, it would take longer or not
    be possible.
    """
    return engine.takes_windows_singly(maps, boxes)


def longest_window(count, sides):
    """The most cells that a window has along an axis: of these, or where that is not known before
    a program runs, of any on maps of these sides."""
    return engine.longest_window(count, sides)


def windows_singly(maps, windows, down, across):
    """Products of each window of a pyramid with a matrix from the left and one from the right.

    Args:
        maps: of a pyramid, `(B, H, W, C)` each.
        windows: (map, top, rows, left, columns) of each, int32 tensor `(B, N, 5)`.
        down: weights of rows from the top of the window on, `(B, N, s, at least the most rows)`.
        across: weights of columns, as `down`.
    Returns:
        `(B, N, s, s, C)`, with a gradient for the maps alone.
    """
    return engine.windows_singly(maps, windows, down, across)


def of_first_rows(function, numbers, *tensors):
    """What a function gives of the rows that matter, and zeros; where `takes_windows_singly`.

    Args:
        function: of tensors `(B, any, ...)` makes one, each row for itself.
        numbers: int tensor `(B,)`: how many rows matter, the first ones.
        tensors: `(B, N, ...)`.
    Returns:
        `(B, N, ...)`; rows that do not matter may be computed too.
    """
    return engine.of_first_rows(function, numbers, *tensors)
