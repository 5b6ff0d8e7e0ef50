"""The losses of the two stages of Mask R-CNN, and their targets."""

import typing

from keras import ops

from keras_pvt.detection.losses.focal import l1_loss
from keras_pvt.detection.models.roi_heads import DEVIATIONS, MASK_PARTS
from keras_pvt.detection.ops import boxes as box_ops
from keras_pvt.detection.ops.box_deltas import encode
from keras_pvt.detection.ops.masks import crop_masks
from keras_pvt.detection.ops.sampling import SampledBoxes
from keras_pvt.ops import take_rows


class BoxTargets(typing.NamedTuple):
    """What the second stage should predict for the sampled boxes.

    Args:
        boxes: "xyxy", `(B, N, 4)`.
        matches: int32 `(B, N)`, the true box of each that has one; else 0.
        labels: int32 `(B, N)`, the class; K, the background's, where there is none.
        deltas: `(B, N, 4)`, to the true box, as `encode` gives them; zeros where there is none.
        drawn: the `SampledBoxes`.
    """

    boxes: typing.Any
    matches: typing.Any
    labels: typing.Any
    deltas: typing.Any
    drawn: SampledBoxes


def box_targets(
    drawn: SampledBoxes, candidates, matches, boxes, classes, num_classes: int
) -> BoxTargets:
    """The targets of sampled boxes.

    Args:
        drawn: of the candidates.
        candidates: "xyxy", `(B, N, 4)`.
        matches: int32 `(B, N)`: of each candidate, the true box, or below 0.
        boxes: true boxes, as `valid_boxes` gives them.
        classes: their classes.
        num_classes: K.
    """
    own = take_rows(candidates, drawn.index)
    matches = ops.where(drawn.positive, take_rows(matches, drawn.index), 0)
    positive = ops.expand_dims(drawn.positive, -1)
    true = take_rows(boxes, matches)
    unit = ops.convert_to_tensor([0.0, 0.0, 1.0, 1.0], own.dtype)
    deltas = encode(ops.where(positive, true, unit), ops.where(positive, own, unit))
    labels = ops.where(drawn.positive, take_rows(classes, matches), num_classes)
    deviations = ops.convert_to_tensor(DEVIATIONS, own.dtype)
    return BoxTargets(own, matches, labels, deltas / deviations, drawn)


def proposal_losses(logits, deltas, targets, drawn: SampledBoxes) -> list:
    """The losses of the first stage: objectness and boxes of sampled anchors.

    Args:
        logits: float tensor `(B, N, 1)`.
        deltas: float tensor `(B, N, 4)`.
        targets: `(B, N, 4)`, the deltas that are right.
        drawn: anchors to learn from.
    Returns:
        Two scalars, both divided by the number of drawn anchors, with an object and without at
        least 1 of each image.
    Source:
        mmdetection 2.13 mmdet/models/dense_heads/anchor_head.py with sampling.
    """
    logits = ops.cast(take_rows(logits, drawn.index)[..., 0], "float32")
    negative = ops.logical_and(drawn.drawn, ops.logical_not(drawn.positive))
    numbers = [ops.sum(ops.cast(x, "float32"), axis=1) for x in (drawn.positive, negative)]
    share = 1 / ops.sum(ops.maximum(ops.stack(numbers), 1.0))
    # Of a positive -log(p), else -log(1 - p).
    of_class = ops.softplus(ops.where(drawn.positive, -logits, logits))
    deltas, targets = (take_rows(ops.cast(x, "float32"), drawn.index) for x in (deltas, targets))
    return [
        _sum(of_class, drawn.drawn) * share,
        _sum(l1_loss(deltas, targets), drawn.positive) * share,
    ]


def box_losses(logits, deltas, targets: BoxTargets) -> list:
    """The losses of the box head: classes and boxes of sampled proposals.

    Args:
        logits: float tensor `(B, N, K + 1)`.
        deltas: float tensor `(B, N, K, 4)`.
        targets: what they should be.
    Returns:
        Two scalars, both divided by the number of drawn boxes.
    Source:
        mmdetection 2.13 mmdet/models/roi_heads/bbox_heads/bbox_head.py.
    """
    share = 1 / ops.maximum(_count(targets.drawn.drawn), 1.0)
    own = ops.take_along_axis(
        ops.log_softmax(logits, axis=-1), ops.expand_dims(targets.labels, -1), axis=-1
    )
    classes = ops.minimum(targets.labels, deltas.shape[2] - 1)[..., None, None]
    deltas = ops.take_along_axis(deltas, classes, axis=2)[..., 0, :]
    of_box = l1_loss(deltas, ops.cast(targets.deltas, deltas.dtype))
    return [
        -_sum(own[..., 0], targets.drawn.drawn) * share,
        _sum(of_box, targets.drawn.positive) * share,
    ]


def mask_loss(head, maps, targets: BoxTargets, masks, most: int):
    """The loss of the mask head: mean crossentropy over the parts of boxes with an object.

    Args:
        head: a `MaskHead`.
        maps: maps of the pyramid, the finest first.
        targets: whose first `most` boxes include all that have an object.
        masks: true ones, `(B, G, H, W)`, 0 or 1.
        most: boxes of an image.
    Returns:
        A scalar.
    Source:
        mmdetection 2.13 mmdet/models/roi_heads/mask_heads/fcn_mask_head.py.
    """
    positive, labels = targets.drawn.positive[:, :most], targets.labels[:, :most]
    boxes = box_ops.clip(targets.boxes[:, :most], tuple(ops.shape(masks)[2:]))
    truth = crop_masks(masks, boxes, targets.matches[:, :most], 2 * MASK_PARTS)
    logits = head(maps, boxes, ops.where(positive, labels, 0))
    wrong = ops.mean(ops.softplus(ops.where(truth, -logits, logits)), axis=(-2, -1))
    return _sum(wrong, positive) / ops.maximum(_count(positive), 1.0)


def _count(which):
    return ops.sum(ops.cast(which, "float32"))


def _sum(values, which):
    return ops.sum(ops.where(which, values, 0.0))
