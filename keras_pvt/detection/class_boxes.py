"""Boxes of each class, from what a box head says of proposals."""

import keras
from keras import ops

from keras_pvt.detection import boxes as box_ops
from keras_pvt.detection.box_deltas import decode
from keras_pvt.layers import base

# What a box head's deltas are multiplied by: mmdetection's target_stds.
DEVIATIONS = (0.1, 0.1, 0.2, 0.2)


@base.register
class ClassBoxes(keras.layers.Layer):
    """Boxes with scores, for every class of its own.

    Call arguments:
        proposals: "xyxy" in pixels of the images, float tensor `(B, N, 4)`.
        scores: `(B, N)`, below 0 where there is no proposal.
        class_logits, box_deltas: as `BoxHead` gives them.
        images, sizes: as in `Proposals`.
    Returns:
        boxes `(B, N, K, 4)`, clipped, and probabilities `(B, N, K)`, 0 where there is no proposal.
    Source:
        mmdetection 2.13 mmdet/models/roi_heads/bbox_heads/bbox_head.py, get_bboxes.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.built = True

    def call(self, proposals, scores, class_logits, box_deltas, images=None, sizes=None):
        deviations = ops.convert_to_tensor(DEVIATIONS, box_deltas.dtype)
        boxes = decode(box_deltas * deviations, ops.expand_dims(proposals, 2))
        if sizes is None:
            size = ops.shape(images)[1:3]
        else:
            size = tuple(ops.expand_dims(sizes[:, n : n + 1], 1) for n in (0, 1))
        probabilities = ops.softmax(class_logits)[..., :-1]
        found = ops.expand_dims(scores >= 0, -1)
        return box_ops.clip(boxes, size), ops.where(found, probabilities, 0.0)

    def compute_output_spec(
        self, proposals, scores, class_logits, box_deltas, images=None, sizes=None
    ):
        return (
            keras.KerasTensor(box_deltas.shape, box_deltas.dtype),
            keras.KerasTensor(box_deltas.shape[:-1], class_logits.dtype),
        )
