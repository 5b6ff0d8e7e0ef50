"""Boxes as tensors: formats, area, clipping and overlap, on any backend.

A box is the last axis of a float tensor `(..., 4)`. Its format has the name that keras-cv and
KerasHub give it:

- "xyxy": left, top, right, bottom, in pixels;
- "xywh": left, top, width, height;
- "center_xywh": centre, width, height;
- "yxyx", "yxhw", "center_yxhw": the same with y before x and height before width;
- "rel_" before any of them: as a fraction of the image, x of its width and y of its height.
"""

from keras import ops

__all__ = ["FORMATS", "area", "clip", "convert", "giou", "iou"]

_ABSOLUTE = ("xyxy", "xywh", "center_xywh", "yxyx", "yxhw", "center_yxhw")
FORMATS = (*_ABSOLUTE, *(f"rel_{name}" for name in _ABSOLUTE))


def check_format(name: str) -> None:
    """Raise a ValueError unless `name` is one of `FORMATS`."""
    if name not in FORMATS:
        raise ValueError(f"unknown box format {name!r}; there are {', '.join(FORMATS)}.")


def is_relative(name: str) -> bool:
    """Whether a format counts in fractions of the image."""
    return name.startswith("rel_")


def convert(boxes, source: str, target: str, image_size: tuple | None = None):
    """Boxes in another format.

    Args:
        boxes: float tensor `(..., 4)`.
        source: their format, one of `FORMATS`.
        target: the format of the result, one of `FORMATS`.
        image_size: (height, width) in pixels, numbers, scalar tensors, or tensors `(..., 1)`;
            needed only between pixels and fractions.
    Returns:
        Tensor `(..., 4)`, in the dtype of `boxes`.
    Raises:
        ValueError: an unknown format; no image size where it is needed.
    """
    check_format(source)
    check_format(target)
    if is_relative(source) != is_relative(target) and image_size is None:
        raise ValueError(
            f"boxes from {source!r} to {target!r} need `image_size`, the (height, width) of "
            "their image in pixels."
        )
    if source == target:
        return boxes
    boxes = _to_xyxy(boxes, source)
    if is_relative(source) and not is_relative(target):
        boxes = boxes * _frame(image_size, boxes.dtype)
    if is_relative(target) and not is_relative(source):
        boxes = boxes / _frame(image_size, boxes.dtype)
    return _from_xyxy(boxes, target)


def _to_xyxy(boxes, source):
    y_first, second_is = _layout(source)
    first, second = boxes[..., :2], boxes[..., 2:]
    if y_first:
        first, second = ops.flip(first, axis=-1), ops.flip(second, axis=-1)
    if second_is == "size":
        second = first + second
    elif second_is == "size around first":
        first, second = first - second / 2, first + second / 2
    return ops.concatenate([first, second], axis=-1)


def _from_xyxy(boxes, target):
    y_first, second_is = _layout(target)
    first, second = boxes[..., :2], boxes[..., 2:]
    if second_is == "size":
        second = second - first
    elif second_is == "size around first":
        first, second = (first + second) / 2, second - first
    if y_first:
        first, second = ops.flip(first, axis=-1), ops.flip(second, axis=-1)
    return ops.concatenate([first, second], axis=-1)


def _layout(name):
    """Whether y comes before x, and what the second pair of numbers is."""
    name = name.removeprefix("rel_")
    second_is = "corner"
    if name.startswith("center_"):
        second_is = "size around first"
    elif name[2:] in ("wh", "hw"):
        second_is = "size"
    return name.removeprefix("center_").startswith("y"), second_is


def _frame(image_size, dtype):
    """(width, height, width, height) of an image, as a tensor `(4,)`, or `(..., 4)` of many."""
    height, width = image_size
    return ops.stack([ops.cast(size, dtype) for size in (width, height, width, height)], axis=-1)


def clip(boxes, image_size: tuple):
    """Boxes cut at the edges of their image; one with a NaN or infinity becomes zeros.

    Args:
        boxes: "xyxy", float tensor `(..., 4)`.
        image_size: (height, width), in the unit of the boxes; numbers, scalar tensors, or
            tensors `(..., 1)` of a size for each box.
    Returns:
        Tensor `(..., 4)`, in the dtype of `boxes`; a box outside the image has no area.
    """
    # Asked first: some backends clip a NaN to the edge.
    finite = ops.all(ops.isfinite(boxes), axis=-1, keepdims=True)
    inside = ops.maximum(ops.minimum(boxes, _frame(image_size, boxes.dtype)), 0.0)
    return ops.where(finite, inside, ops.zeros_like(boxes))


def area(boxes):
    """Area of boxes; 0 for corners in the wrong order.

    Args:
        boxes: "xyxy", float tensor `(..., 4)`.
    Returns:
        Tensor `(...)`, in square pixels.
    """
    sides = ops.relu(boxes[..., 2:] - boxes[..., :2])
    return sides[..., 0] * sides[..., 1]


def iou(boxes, others):
    """Intersection over union of each box with each other box.

    Args:
        boxes: "xyxy", float tensor `(..., N, 4)`.
        others: "xyxy", float tensor `(..., M, 4)`.
    Returns:
        Tensor `(..., N, M)`, 0 to 1; 0 for two boxes without area.
    """
    intersection, union = _overlap(ops.expand_dims(boxes, -2), ops.expand_dims(others, -3))
    return intersection / ops.where(union > 0, union, ops.ones_like(union))


def giou(boxes, others):
    """Generalized intersection over union of boxes with others, one with one.

    Intersection over union, less the share of the smallest box around both that neither covers.

    Args:
        boxes: "xyxy", float tensor `(..., 4)`.
        others: "xyxy", float tensor of a shape that broadcasts with it.
    Returns:
        Tensor `(...)`, -1 to 1; 0 for two boxes without area at the same place.
    Source:
        arXiv 1902.09630, algorithm 1.
    """
    intersection, union = _overlap(boxes, others)
    corners = ops.minimum(boxes, others)[..., :2], ops.maximum(boxes, others)[..., 2:]
    around = area(ops.concatenate(corners, axis=-1))
    one = ops.ones_like(union)
    overlap = intersection / ops.where(union > 0, union, one)
    return overlap - (around - union) / ops.where(around > 0, around, one)


def _overlap(a, b):
    """Areas of intersection and union of boxes `(..., 4)`, one with one."""
    width = ops.minimum(a[..., 2], b[..., 2]) - ops.maximum(a[..., 0], b[..., 0])
    height = ops.minimum(a[..., 3], b[..., 3]) - ops.maximum(a[..., 1], b[..., 1])
    intersection = ops.relu(width) * ops.relu(height)
    return intersection, area(a) + area(b) - intersection
