"""What DETR has to learn of an image's objects: each of them once, in any order."""

from typing import NamedTuple

from keras import ops

from keras_pvt.detection import boxes as box_ops
from keras_pvt.detection.assignment import assign
from keras_pvt.detection.losses import l1_loss
from keras_pvt.ops import class_crossentropy, take_rows

# Weights, in the costs of an assignment and in the losses.
CLASS, BOX, GIOU = 1.0, 5.0, 2.0
# Weight of "no object" in the class loss.
BACKGROUND = 0.1
FORMAT = "rel_center_xywh"


class SetLosses(NamedTuple):
    """Of each layer `(L,)`, with their weights: to be summed."""

    of_class: object
    of_box: object
    of_giou: object


def set_losses(logits, boxes, labels, targets) -> SetLosses:
    """How far the queries of all layers are from the objects of their images.

    Of each layer by itself, each object gets a query of its own, the cheapest in all; what has
    none has to say "no object".

    Args:
        logits: float tensor `(B, L, Q, K + 1)`, no softmax, "no object" last.
        boxes: "rel_center_xywh", float tensor `(B, L, Q, 4)`.
        labels: tensor `(B, G)`: the class, 0 to K - 1; below 0 for padding.
        targets: "rel_center_xywh", float tensor `(B, G, 4)`; those without area do not count,
            nor do those with a NaN or an infinity. Of more than Q in an image, the cheapest Q
            count.
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
    return SetLosses(
        _of_layer(of_class) * share,
        _of_layer(l1_loss(boxes, own) * found) * BOX / number,
        _of_layer((1 - giou) * found) * GIOU / number,
    )


def matching_costs(logits, boxes, labels, targets):
    """What it costs to give an object a query: `(B, L, G, Q)`; see `set_losses`."""
    probability = ops.softmax(logits, axis=-1)
    one_hot = ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype)  # (B, G, K + 1)
    of_class = ops.einsum("blqk,bgk->blgq", probability, one_hot)
    boxes, targets = boxes[:, :, None], targets[:, None, :, None]
    giou = box_ops.giou(_corners(boxes), _corners(targets))
    return BOX * l1_loss(boxes, targets) - CLASS * of_class - GIOU * giou


def _whole(labels, targets):
    """At least one object of each image, in numbers that can be computed with; which count."""
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
