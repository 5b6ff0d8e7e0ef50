"""Decoding of a RetinaNet's outputs: the boxes with the highest scores of each level."""

import dataclasses
import math

import keras
from keras import ops

from keras_pvt.detection.ops import boxes as box_ops
from keras_pvt.detection.ops.anchors import Anchors, per_anchor
from keras_pvt.detection.ops.box_deltas import decode
from keras_pvt.detection.ops.nms import at_least_float32
from keras_pvt.layers import base
from keras_pvt.ops import take_rows


@base.register_as("PyramidCandidates")
class PyramidDecoder(keras.layers.Layer):
    """Decodes anchors: from each level, those whose best class has the highest scores.

    Args:
        num_classes: K.
        anchors: the `Anchors` of a cell, or their configuration.
        per_level: the most anchors of a level.
    Call arguments:
        outputs: "class_logits" and "box_deltas", each of a level such as "P3" to a map, as
            `RetinaNet` gives them.
        images: the images `(B, H, W, channels)`, to which boxes are clipped; or None.
        sizes: instead of `images`, tensor `(B, 2)`, the (height, width) in pixels of the images
            without padding on their right and below.
    Returns:
        boxes `(B, N, 4)`, "xyxy" in pixels of the images, clipped, and logits `(B, N, K)`,
        those of boxes with a NaN minus infinity; both float32 at least.
    Source:
        mmdetection 2.13 mmdet/models/dense_heads/anchor_head.py, `_get_bboxes`.
    """

    def __init__(self, num_classes: int, anchors: Anchors | dict, per_level: int = 1000, **kwargs):
        # No autocast: boxes in half precision would be off by pixels.
        super().__init__(autocast=False, **kwargs)
        base.check_positive("PyramidDecoder", num_classes=num_classes, per_level=per_level)
        self.num_classes = num_classes
        self.anchors = Anchors(**anchors) if isinstance(anchors, dict) else anchors
        self.per_level = per_level
        self.built = True

    def call(self, outputs, images=None, sizes=None):
        anchors = self.anchors.of_maps(outputs["class_logits"])
        levels = [
            self._best(
                at_least_float32(per_anchor(logits, self.num_classes)),
                at_least_float32(per_anchor(outputs["box_deltas"][level], 4)),
                anchors[level],
            )
            for level, logits in outputs["class_logits"].items()
        ]
        boxes, logits = (ops.concatenate(parts, axis=1) for parts in zip(*levels, strict=True))
        size = ops.shape(images)[1:3] if sizes is None else (sizes[:, :1], sizes[:, 1:])
        finite = ops.all(ops.isfinite(boxes), axis=-1, keepdims=True)
        return box_ops.clip(boxes, size), ops.where(finite, logits, -math.inf)

    def _best(self, logits, deltas, anchors):
        """Boxes and logits of one level: all, or `per_level`."""
        number = logits.shape[1]
        if number is not None and number <= self.per_level:
            return decode(deltas, anchors), logits
        scores = ops.max(logits, axis=-1)
        if number is None:  # there may be fewer
            padding = ((0, 0), (0, self.per_level))
            scores = ops.pad(scores, padding, constant_values=-math.inf)
        scores, index = ops.top_k(scores, self.per_level)
        index = ops.minimum(index, ops.shape(logits)[1] - 1)
        logits = ops.where(
            ops.expand_dims(scores, -1) > -math.inf, take_rows(logits, index), -math.inf
        )
        return decode(take_rows(deltas, index), ops.take(anchors, index, axis=0)), logits

    def compute_output_spec(self, outputs, images=None, sizes=None):
        levels = [
            per_anchor(x, self.num_classes).shape[1] for x in outputs["class_logits"].values()
        ]
        number = None if None in levels else sum(min(n, self.per_level) for n in levels)
        batch = next(iter(outputs["class_logits"].values())).shape[0]
        return tuple(
            keras.KerasTensor((batch, number, width), "float32") for width in (4, self.num_classes)
        )

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "anchors": dataclasses.asdict(self.anchors),
            "per_level": self.per_level,
        }
