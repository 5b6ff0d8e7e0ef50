"""Losses of anchors: focal loss of classes, L1 loss of boxes."""

from typing import NamedTuple

from keras import ops

from keras_pvt.detection.ops.box_deltas import encode
from keras_pvt.detection.ops.matching import IGNORED, Matcher
from keras_pvt.ops import take_rows


def focal_loss(logits, labels, alpha: float = 0.25, gamma: float = 2.0):
    """Sigmoid focal loss, in which easy cases count little.

    Args:
        logits: float tensor `(..., K)`.
        labels: integer tensor `(...)`, each 0 to K - 1, or below 0 for none of them.
        alpha: weight of the true class; the others have 1 - alpha.
        gamma: exponent of the error by which a term is multiplied; 1 or more.
    Returns:
        `(...)`, summed over classes.
    Source:
        Focal Loss for Dense Object Detection, arXiv 1708.02002, equation 5.
    """
    there = ops.expand_dims(labels, -1) == ops.arange(logits.shape[-1], dtype=labels.dtype)
    probability = ops.sigmoid(logits)
    present = alpha * (1 - probability) ** gamma * ops.softplus(-logits)
    absent = (1 - alpha) * probability**gamma * ops.softplus(logits)
    return ops.sum(ops.where(there, present, absent), axis=-1)


def l1_loss(values, targets):
    """Absolute differences, summed over the last axis: `(..., n)` to `(...)`."""
    return ops.sum(ops.abs(values - targets), axis=-1)


class AnchorTargets(NamedTuple):
    """What a head should predict for each anchor.

    Args:
        labels: int32 `(B, N)`, the class, or -1 where there is no box.
        deltas: float32 `(B, N, 4)`, as `encode` gives them; zeros where there is no box.
        positive: bool `(B, N)`: whether there is a box.
        valid: bool `(B, N)`: False for anchors that are ignored.
    """

    labels: object
    deltas: object
    positive: object
    valid: object


def assign_targets(anchors, boxes, labels, matcher: Matcher, usable=None) -> AnchorTargets:
    """Match the anchors with the true boxes of images.

    Args:
        anchors: "xyxy", float32 tensor `(N, 4)`.
        boxes: "xyxy", float tensor `(B, G, 4)`; boxes without area, or with a NaN or an
            infinity, do not count.
        labels: tensor `(B, G)`: the class; below 0 for padding.
        matcher: decides which anchor gets which box.
        usable: boolean tensor `(B, N)`: False for anchors to ignore; None for none.
    """
    boxes, labels, exists = valid_boxes(boxes, labels)
    if usable is None:
        usable = ops.ones((ops.shape(boxes)[0], ops.shape(anchors)[0]), "bool")
    # An image at a time, as all overlaps of a batch would take gigabytes.
    matches = ops.map(lambda image: matcher(anchors, *image), (boxes, exists, usable))
    found = matches >= 0
    index = ops.maximum(matches, 0)
    own = ops.where(ops.expand_dims(found, -1), take_rows(boxes, index), anchors)
    return AnchorTargets(
        ops.where(found, take_rows(labels, index), -1),
        encode(own, anchors),
        found,
        matches != IGNORED,
    )


def valid_boxes(boxes, labels):
    """True boxes of images in finite numbers, and which of them count.

    Args:
        boxes: "xyxy", tensor `(B, G, 4)`.
        labels: tensor `(B, G)`: the class; below 0 for padding.
    Returns:
        boxes float32 `(B, G, 4)`, G of 1 or more, without NaN and infinities; labels int32
        `(B, G)`; bool `(B, G)`: whether there is a box, of an area above 0.
    """
    boxes, labels = ops.cast(boxes, "float32"), ops.cast(labels, "int32")
    if boxes.shape[1] == 0:
        boxes = ops.pad(boxes, ((0, 0), (0, 1), (0, 0)))
        labels = ops.pad(labels, ((0, 0), (0, 1)), constant_values=-1)
    whole = ops.all(ops.isfinite(boxes), axis=-1)
    boxes = ops.where(ops.expand_dims(whole, -1), boxes, 0.0)
    sides = boxes[..., 2:] > boxes[..., :2]
    return boxes, labels, ops.logical_and(labels >= 0, ops.all(sides, axis=-1))


def anchor_losses(logits, deltas, targets: AnchorTargets) -> tuple:
    """Focal loss of the classes and L1 loss of the deltas.

    Args:
        logits: float tensor `(B, N, K)`.
        deltas: float tensor `(B, N, 4)`.
        targets: what they should be, from `assign_targets`.
    Returns:
        Both, of each anchor, `(B, N)`: divided by the number of anchors that have a box, at
        least 1 of each image, so that they are to be summed.
    Source:
        mmdetection 2.13 mmdet/models/dense_heads/anchor_head.py, with the losses of
        configs/_base_/models/retinanet_r50_fpn.py.
    """
    number = ops.sum(ops.cast(targets.positive, "float32"), axis=1)
    share = 1 / ops.sum(ops.maximum(number, 1.0))
    of_class = focal_loss(logits, targets.labels) * ops.cast(targets.valid, logits.dtype)
    of_box = l1_loss(deltas, targets.deltas) * ops.cast(targets.positive, deltas.dtype)
    return of_class * ops.cast(share, logits.dtype), of_box * ops.cast(share, deltas.dtype)
