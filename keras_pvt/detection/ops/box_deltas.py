"""Box deltas: how an anchor, or a proposal, is moved and scaled to become a box."""

import math

from keras import ops

from keras_pvt.detection.ops import boxes as box_ops

# Most that a side is scaled by, as a logarithm; and least, with a minus.
LIMIT = math.log(1000 / 16)


def encode(boxes, anchors):
    """The deltas that turn anchors into boxes.

    Args:
        boxes: "xyxy", float tensor `(..., 4)`, of sides above 0.
        anchors: "xyxy", float tensor of a shape that fits, of sides above 0.
    Returns:
        `(..., 4)`: how far the centre goes in x and y, in sides of the anchor, and natural
        logarithms of the factors of width and height.
    Source:
        Faster R-CNN, arXiv 1506.01497, equation 2; mmdetection 2.13
        mmdet/core/bbox/coder/delta_xywh_bbox_coder.py.
    """
    boxes, anchors = _split(boxes), _split(anchors)
    return ops.concatenate(
        [(boxes[0] - anchors[0]) / anchors[1], ops.log(boxes[1] / anchors[1])], axis=-1
    )


def decode(deltas, anchors):
    """The inverse of `encode`. Factors of sides are kept within 1 / 62.5 and 62.5.

    Args:
        deltas: float tensor `(..., 4)`.
        anchors: "xyxy", float tensor of a shape that fits, of sides above 0.
    Returns:
        "xyxy" `(..., 4)`, not clipped to an image.
    """
    centre, size = _split(anchors)
    centre = deltas[..., :2] * size + centre
    size = ops.exp(ops.clip(deltas[..., 2:], -LIMIT, LIMIT)) * size
    return box_ops.convert(ops.concatenate([centre, size], axis=-1), "center_xywh", "xyxy")


def _split(boxes):
    """Centre and size."""
    boxes = box_ops.convert(boxes, "xyxy", "center_xywh")
    return boxes[..., :2], boxes[..., 2:]
