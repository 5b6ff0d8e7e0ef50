"""Detections from what the queries of a transformer say."""

import keras
from keras import ops

from keras_pvt.detection import boxes as box_ops
from keras_pvt.detection.set_losses import FORMAT
from keras_pvt.detection.suppression import at_least_float32
from keras_pvt.layers import base
from keras_pvt.ops import argmax, take_rows


@base.register
class BestQueries(keras.layers.Layer):
    """Takes the queries that are surest of an object; there is no suppression.

    Args:
        confidence_threshold: probability that a detection has to exceed, 0 to 1.
        max_detections: detections of an image, at most; of fewer queries, as many as those.
    Call arguments:
        outputs: what a `DETR` gives; its last layer counts.
        sizes: `(B, 2)`, (height, width) of each image without padding: in pixels of the frame
            that boxes are wanted in, such as the image as it was before it was resized.
        images: instead of `sizes`, the images `(B, H, W, channels)`, which have no padding.
    Returns:
        A dictionary as of `NonMaxSuppression`: "boxes" "xyxy" `(B, N, 4)`, in pixels and inside
        the image; "confidence" `(B, N)`, 0 to 1, falling; "classes" and "labels" `(B, N)` int32;
        "num_detections" `(B,)` int32. After the detections come boxes of zeros, of class -1 and
        confidence 0.
    Raises:
        ValueError: a threshold outside 0 to 1; `max_detections` below 1.
    Source:
        mmdetection 2.13 mmdet/models/dense_heads/detr_head.py, `_get_bboxes_single`.
    """

    def __init__(self, confidence_threshold: float = 0.0, max_detections: int = 100, **kwargs):
        super().__init__(autocast=False, **kwargs)
        owner = type(self).__name__
        base.check_positive(owner, max_detections=max_detections)
        if not 0 <= confidence_threshold <= 1:
            raise ValueError(
                f"{owner}: `confidence_threshold` must be from 0 to 1; got "
                f"{confidence_threshold!r}."
            )
        self.confidence_threshold = confidence_threshold
        self.max_detections = max_detections
        self.built = True

    def call(self, outputs, sizes=None, images=None):
        logits, boxes = (at_least_float32(outputs[key][:, -1]) for key in ("class_logits", "boxes"))
        scores = ops.softmax(logits, axis=-1)[..., :-1]
        best = ops.max(scores, axis=-1)
        best = ops.where(best > self.confidence_threshold, best, -1.0)  # false for NaN, too
        confidence, index = ops.top_k(best, min(self.max_detections, best.shape[1]))
        found = confidence >= 0
        labels = take_rows(argmax(scores), index)
        labels = ops.where(found, labels, -1)
        if images is not None:
            sides = ops.shape(images)[1:3]
        else:
            sizes = ops.cast(sizes, boxes.dtype)
            sides = sizes[:, :1], sizes[:, 1:]
        boxes = box_ops.convert(take_rows(boxes, index), FORMAT, "xyxy", sides)
        return {
            "boxes": ops.where(found[..., None], box_ops.clip(boxes, sides), 0.0),
            "confidence": ops.where(found, confidence, 0.0),
            "classes": labels,
            "labels": labels,
            "num_detections": ops.sum(ops.cast(found, "int32"), axis=-1),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "confidence_threshold": self.confidence_threshold,
            "max_detections": self.max_detections,
        }
