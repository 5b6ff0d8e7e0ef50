"""Region proposals: the boxes that the second stage of Mask R-CNN classifies."""

import dataclasses
import math

import keras
from keras import ops

from keras_pvt.detection.ops import boxes as box_ops
from keras_pvt.detection.ops.anchors import Anchors, per_anchor
from keras_pvt.detection.ops.box_deltas import decode
from keras_pvt.detection.ops.nms import at_least_float32, suppress
from keras_pvt.layers import base
from keras_pvt.ops import take_rows


@base.register
class Proposals(keras.layers.Layer):
    """The boxes with the highest scores of all levels, after suppression in each level.

    Args:
        anchors: the `Anchors` of a cell, or their configuration.
        per_level: the most anchors of a level that are compared, those with the highest scores.
        count: boxes N, of all levels; fewer where there are fewer anchors.
        iou_threshold: overlap above which the worse box of a level goes.
    Call arguments:
        logits: dictionary of a level such as "P2" to a map `(B, H, W, anchors)`.
        deltas: dictionary of a level to a map `(B, H, W, anchors * 4)`.
        images: the images `(B, H, W, channels)`, to which boxes are clipped; or None.
        sizes: instead of `images`, tensor `(B, 2)`, the (height, width) in pixels of the images
            without padding on their right and below.
    Returns:
        boxes `(B, N, 4)`, "xyxy" in pixels of the images, zeros after the last one; and scores
        `(B, N)`, 0 to 1, falling, -1 after the last one; both float32 at least, without gradient.
    Source:
        mmdetection 2.13 mmdet/models/dense_heads/rpn_head.py. Differs: boxes without area never
        stay, where upstream sometimes keeps them.
    """

    def __init__(
        self,
        anchors: Anchors | dict,
        per_level: int = 1000,
        count: int = 1000,
        iou_threshold: float = 0.7,
        **kwargs,
    ):
        # No autocast: boxes in half precision would be off by pixels.
        super().__init__(autocast=False, **kwargs)
        base.check_positive("Proposals", per_level=per_level, count=count)
        self.anchors = Anchors(**anchors) if isinstance(anchors, dict) else anchors
        self.per_level, self.count, self.iou_threshold = per_level, count, iou_threshold
        self.built = True

    def call(self, logits, deltas, images=None, sizes=None):
        size = ops.shape(images)[1:3] if sizes is None else (sizes[:, :1], sizes[:, 1:])
        anchors = self.anchors.of_maps(logits)
        levels = [
            self._of_level(
                at_least_float32(per_anchor(logits[level], 1))[..., 0],
                at_least_float32(per_anchor(deltas[level], 4)),
                anchors[level],
                size,
            )
            for level in logits
        ]
        boxes, scores = (ops.concatenate(parts, axis=1) for parts in zip(*levels, strict=True))
        scores, index = top_k(scores, self.count, -math.inf)
        found = scores > -math.inf
        boxes = ops.where(ops.expand_dims(found, -1), take_rows(boxes, index), 0.0)
        scores = ops.where(found, ops.sigmoid(scores), -1.0)
        return ops.stop_gradient(boxes), ops.stop_gradient(scores)

    def _of_level(self, scores, deltas, anchors, size):
        """Boxes, and their logits, minus infinity of those that do not stay."""
        scores, index = top_k(scores, self.per_level, -math.inf)
        boxes = decode(take_rows(deltas, index), ops.take(anchors, index, axis=0))
        boxes = box_ops.clip(boxes, size)
        valid = ops.logical_and(
            ops.all(ops.isfinite(boxes), axis=-1), ops.all(boxes[..., 2:] > boxes[..., :2], axis=-1)
        )
        valid = ops.logical_and(valid, scores > -math.inf)  # false for NaN, too
        keep = suppress(boxes, ops.zeros_like(index), valid, self.iou_threshold)
        return boxes, ops.where(keep, scores, -math.inf)

    def compute_output_spec(self, logits, deltas, images=None, sizes=None):
        numbers = [per_anchor(x, 1).shape[1] for x in logits.values()]
        count = self.count
        if None not in numbers:
            count = min(count, sum(min(number, self.per_level) for number in numbers))
        first = next(iter(logits.values()))
        dtype = keras.backend.result_type(first.dtype, "float32")
        return (
            keras.KerasTensor((first.shape[0], count, 4), dtype),
            keras.KerasTensor((first.shape[0], count), dtype),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "anchors": dataclasses.asdict(self.anchors),
            "per_level": self.per_level,
            "count": self.count,
            "iou_threshold": self.iou_threshold,
        }


def top_k(scores, count: int, lowest: float):
    """The highest scores and their places, falling.

    Args:
        scores: tensor `(B, N)`.
        count: how many; N where that is smaller and static.
        lowest: fills up the result where N is not static; the places of these mean nothing.
    Returns:
        Two tensors `(B, min(N, count))`.
    """
    number = scores.shape[1]
    if number is not None:
        return ops.top_k(scores, min(number, count))
    padded = ops.pad(scores, ((0, 0), (0, count)), constant_values=lowest)
    found, index = ops.top_k(padded, count)
    return found, ops.minimum(index, ops.shape(scores)[1] - 1)
