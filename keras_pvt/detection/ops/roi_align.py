"""RoIAlign: the features of boxes of any size, as maps of one size."""

import math

from keras import ops

from keras_pvt.detection.ops.boxes import area
from keras_pvt.ops import (
    is_writing_onnx,
    longest_window,
    onnx_roi_align,
    take_rows,
    takes_windows_singly,
    windows_singly,
)

# Side in cells of a box from which on the next coarser level is taken.
SIDE = 28
# Cells that are looked at together; more would need more memory.
CELLS = 2**25


def box_levels(boxes, finest: int, count: int):
    """The level that each box takes its features from, by its size.

    Args:
        boxes: "xyxy" in pixels, float tensor `(..., 4)`.
        finest: side of a cell of the finest level in pixels.
        count: levels there are.
    Returns:
        int32 `(...)`, 0 for the finest.
    Source:
        FPN, arXiv 1612.03144, equation 1; mmdetection 2.13
        mmdet/models/roi_heads/roi_extractors/single_level_roi_extractor.py.
    """
    side = ops.sqrt(ops.maximum(area(boxes), 0.0)) / (finest * SIDE / 2)
    level = ops.floor(ops.log(side + 1e-6) / math.log(2))
    return ops.cast(ops.clip(level, 0, count - 1), "int32")


def roi_align(maps, boxes, size: int, finest: int = 4):
    """The features of each box: the mean of bilinear samples in each of its parts.

    A part of b cells a side has ceil(b) samples a side, in regular distances. Samples more than a
    cell outside of the map are zeros; others outside have the value at the edge. Gradients
    reach the maps, not the boxes.

    Args:
        maps: of a pyramid, the finest first, `(B, H, W, C)`, each half as large as the one
            before.
        boxes: "xyxy" in pixels of the images, float tensor `(B, N, 4)`.
        size: parts of a box, each way.
        finest: side of a cell of the finest map in pixels.
    Returns:
        `(B, N, size, size, C)`.
    Source:
        Mask R-CNN, arXiv 1703.06870, section 3; mmcv 1.3.8 mmcv/ops/roi_align.py with
        `sampling_ratio=0` and `aligned=True`.
    """
    boxes = ops.stop_gradient(boxes)
    level = box_levels(boxes, finest, len(maps))
    if is_writing_onnx():
        return onnx_roi_align(maps, boxes, level, size, finest)
    shapes = [ops.shape(x)[1:3] for x in maps]
    if takes_windows_singly(maps, boxes):
        return _box_after_box(maps, shapes, boxes, level, size, finest)
    channels = maps[0].shape[-1]
    # All cells of all levels in one list, so that a box takes its cells from any.
    cells = ops.concatenate(
        [
            ops.reshape(x, (ops.shape(x)[0], height * width, channels))
            for x, (height, width) in zip(maps, shapes, strict=True)
        ],
        axis=1,
    )
    starts = [0]
    for height, width in shapes[:-1]:
        starts.append(starts[-1] + height * width)

    def of_level(*columns):
        """Of each box, what its level has in columns of numbers."""
        table = ops.stack([ops.stack(column) for column in columns], axis=1)
        found = ops.take(ops.cast(table, "int32"), level, axis=0)
        return (found[..., n] for n in range(len(columns)))

    heights, widths = ([shape[n] for shape in shapes] for n in (0, 1))
    start, stride, height, width = of_level(
        starts, [finest * 2**n for n in range(len(maps))], heights, widths
    )
    most = [_most_cells(shape, last=n == len(maps) - 1) for n, shape in enumerate(shapes)]
    most = max(most) if all(isinstance(n, int) for n in most) else ops.max(ops.stack(most))
    longest = [
        max(sides) if all(isinstance(n, int) for n in sides) else ops.max(ops.stack(sides))
        for sides in (heights, widths)
    ]

    def pooled(part):
        """Of boxes `(B, n)`."""
        edges, start, height, width = part
        top, rows, down = _axis(edges[..., 1], edges[..., 3], height, size, longest[0])
        left, columns, across = _axis(edges[..., 0], edges[..., 2], width, size, longest[1])
        # The cells under a box, row after row, whatever its proportions: few, as a level's boxes
        # are of an area that is bounded.
        number = ops.arange(0, most, dtype="int32")
        row, column = number // ops.expand_dims(columns, -1), number % ops.expand_dims(columns, -1)
        inside = row < ops.expand_dims(rows, -1)
        row = ops.where(inside, row, 0)
        place = ops.expand_dims(start, -1) + (ops.expand_dims(top, -1) + row) * ops.expand_dims(
            width, -1
        )
        place = place + ops.expand_dims(left, -1) + column
        place = ops.where(inside, place, 0)
        down = _take_last(down, row) * ops.expand_dims(ops.cast(inside, down.dtype), -2)
        across = _take_last(across, column)
        weights = ops.expand_dims(down, -2) * ops.expand_dims(across, -3)  # (B, n, s, s, cells)
        batch, count = ops.shape(place)[:2]
        seen = take_rows(cells, ops.reshape(place, (batch, -1)))
        seen = ops.reshape(seen, (batch, count, -1, channels))
        weights = ops.reshape(weights, (batch, count, size * size, -1))
        return ops.matmul(ops.cast(ops.stop_gradient(weights), seen.dtype), seen)

    edges = boxes / ops.expand_dims(ops.cast(stride, boxes.dtype), -1) - 0.5
    found = _in_parts(
        pooled,
        (edges, start, height, width),
        _boxes_at_once(most, channels, ops.shape(boxes)[0]),
    )
    return ops.reshape(found, (*ops.shape(boxes)[:2], size, size, channels))


def _box_after_box(maps, shapes, boxes, level, size, finest):
    """`roi_align` as two products of each box with the cells under it, and with no others."""
    sides = ops.take(ops.cast(ops.stack([ops.stack(x) for x in shapes]), "int32"), level, axis=0)
    stride = ops.expand_dims(ops.cast(finest * 2**level, boxes.dtype), -1)
    edges = boxes / stride - 0.5
    windows, weights = [], []
    for axis in (1, 0):  # of x and y
        axis_of = (edges[..., axis], edges[..., axis + 2], sides[..., 1 - axis])
        first, count = _window(*axis_of)
        longest = longest_window(count, [shape[1 - axis] for shape in shapes])
        windows += [first, count]
        weights.append(sample_weights(*axis_of, size, longest, first))
    windows = ops.stack([level, *windows], axis=-1)
    return windows_singly(maps, ops.stop_gradient(windows), *map(ops.stop_gradient, weights))


def sample_weights(low, high, cells, size: int, count, first=0):
    """The weight of each cell in the mean of the samples of each part of an interval.

    Args:
        low: starts of intervals, 0 in the middle of the first cell, float tensor `(...)`.
        high: ends of intervals, float tensor `(...)`.
        cells: number of cells, int tensor of a shape that fits.
        size: parts of an interval.
        count: number of cells to give weights of.
        first: the first of these cells, int tensor `(...)`, or 0.
    Returns:
        float tensor `(..., size, count)`.
    """
    dtype = low.dtype
    low, length = (ops.expand_dims(x, -1) for x in (low, high - low))
    step = length / size
    samples = ops.ceil(step)
    # With a single sample, any distance to the next one does.
    distance = ops.where(samples > 1, step / ops.maximum(samples, 1), 1.0)
    begin = low + ops.arange(0, size, dtype=dtype) * step
    begin = begin + 0.5 * step / ops.maximum(samples, 1)  # the first sample, (..., size)
    cell = ops.arange(0, count, dtype="int32") + ops.expand_dims(first + ops.zeros_like(cells), -1)
    last = ops.expand_dims(ops.expand_dims(cells, -1), -1) - 1
    cell = ops.expand_dims(cell, -2)  # (..., 1, count)
    begin, samples, distance = (ops.expand_dims(x, -1) for x in (begin, samples, distance))
    at = ops.cast(cell, dtype)
    # The samples less than a cell away: as they are more than half a cell apart, four at most.
    # At the edges, one more cell outside.
    number = ops.ceil((at - 1 - begin) / distance)
    total = 0.0
    for n in range(5):
        k = number + n
        position = begin + k * distance
        weight = ops.maximum(1 - ops.abs(position - at), 0.0)
        beyond = ops.logical_or(
            ops.logical_and(cell == 0, ops.logical_and(position >= -1, position < 0)),
            ops.logical_and(
                cell == last,
                ops.logical_and(position > at, position <= at + 1),
            ),
        )
        weight = ops.where(beyond, 1.0, weight)
        exists = ops.logical_and(k >= 0, k < samples)
        total = total + ops.where(exists, weight, 0.0)
    known = ops.logical_and(cell >= 0, cell <= last)
    return ops.where(known, total, 0.0) / ops.maximum(samples, 1)


def _axis(low, high, cells, size, longest):
    """The first cell and the number of cells that have a weight, and weights from there on."""
    first, count = _window(low, high, cells)
    return first, count, sample_weights(low, high, cells, size, longest, first)


def _window(low, high, cells):
    """The first cell and the number of cells that have a weight, see `_axis`."""
    last = ops.cast(ops.maximum(cells - 1, 0), low.dtype)  # `_in_parts` fills up with no cells
    first, end = (ops.clip(x, 0, last) for x in (ops.floor(low), ops.floor(high) + 1))
    first, end = ops.cast(first, "int32"), ops.cast(end, "int32")
    return first, ops.maximum(end - first, 0) + 1


def _take_last(x, index):
    """Of `(B, n, s, L)` by `(B, n, K)`: `(B, n, s, K)`."""
    return ops.take_along_axis(x, ops.expand_dims(index, -2), axis=-1)


def _most_cells(shape: tuple, last: bool):
    """Cells that lie under a box of a level, at most: its area is bounded but on the last one, and
    it reaches into one cell more on each side."""
    height, width = shape
    whole = height * width
    if last:
        return whole
    bound = SIDE**2 + 1 + 2 * (height + width) + 4
    return min(whole, bound) if isinstance(whole, int) else ops.minimum(whole, bound)


def _boxes_at_once(most, channels: int, batch) -> int:
    """Of each image, so that those of a batch fit together; 64 where sizes are open."""
    if not isinstance(most, int):
        return 64
    return max(1, CELLS // (most * channels * (batch if isinstance(batch, int) else 1)))


def _in_parts(function, tensors, size: int):
    """A function of tensors `(B, N, ...)` for at most so many of N at once."""
    count = tensors[0].shape[1]
    if count is not None and count <= size:
        return function(tensors)
    number = ops.shape(tensors[0])[1]
    parts = -(-number // size)

    def divided(x):
        x = ops.pad(x, [(0, 0), (0, parts * size - number)] + [(0, 0)] * (len(x.shape) - 2))
        x = ops.reshape(x, (ops.shape(x)[0], parts, size, *x.shape[2:]))
        return ops.swapaxes(x, 0, 1)

    found = ops.map(function, tuple(divided(x) for x in tensors))
    found = ops.swapaxes(found, 0, 1)
    found = ops.reshape(found, (ops.shape(found)[0], parts * size, *found.shape[3:]))
    return found[:, :number]
