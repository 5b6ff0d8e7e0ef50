"""Non-maximum suppression as a layer."""

import keras
from keras import ops

from keras_pvt.detection import boxes as box_ops
from keras_pvt.detection.suppression import at_least_float32, non_max_suppression
from keras_pvt.layers import base


@base.register
class NonMaxSuppression(keras.layers.Layer):
    """Non-maximum suppression as the `prediction_decoder` of a detector.

    For `keras_cv.models.RetinaNet`, `keras_cv.models.YOLOV8Detector` and
    `keras_hub.models.RetinaNetObjectDetector`, on every backend.

    Args:
        bounding_box_format: of the boxes, in and out; one of
            `keras_pvt.detection.boxes.FORMATS`, and the detector's own.
        from_logits: whether scores are logits, as those detectors give them.
        iou_threshold: overlap above which the worse box of one class goes, 0 to 1.
        confidence_threshold: probability that a detection has to exceed, 0 to 1.
        max_detections: detections of an image, at most.
        max_candidates: pairs of box and class that are compared; the best.
        drop_empty: whether boxes without area, such as those outside the image, are never a
            detection; official detectors keep them.
    Call arguments:
        boxes: float tensor `(B, N, 4)`.
        scores: float tensor `(B, N, classes)`.
        images: the images `(B, H, W, channels)`, or
        image_shape: their (height, width, channels). With either, boxes are first clipped.
    Returns:
        A dictionary: "boxes" `(B, max_detections, 4)`; "confidence" `(B, max_detections)`, 0 to
        1, falling; "classes" and, as KerasHub calls them, "labels", `(B, max_detections)`
        int32; "num_detections" `(B,)` int32. After the detections come boxes of zeros, of class
        -1 and confidence 0.
    Raises:
        ValueError: an unknown format; a threshold outside 0 to 1; more detections than
            candidates.
    """

    def __init__(
        self,
        bounding_box_format: str,
        from_logits: bool = True,
        iou_threshold: float = 0.5,
        confidence_threshold: float = 0.05,
        max_detections: int = 100,
        max_candidates: int = 1000,
        drop_empty: bool = True,
        **kwargs,
    ):
        # No autocast: boxes in half precision would be off by pixels.
        super().__init__(autocast=False, **kwargs)
        box_ops.check_format(bounding_box_format)
        owner = type(self).__name__
        base.check_positive(owner, max_detections=max_detections, max_candidates=max_candidates)
        if max_detections > max_candidates:
            raise ValueError(
                f"{owner}: `max_detections` {max_detections} exceeds `max_candidates` "
                f"{max_candidates}; raise the latter."
            )
        for name, value in (
            ("iou_threshold", iou_threshold),
            ("confidence_threshold", confidence_threshold),
        ):
            if not 0 <= value <= 1:
                raise ValueError(f"{owner}: `{name}` must be from 0 to 1; got {value!r}.")
        self.bounding_box_format = bounding_box_format
        self.from_logits = from_logits
        self.iou_threshold = iou_threshold
        self.confidence_threshold = confidence_threshold
        self.max_detections = max_detections
        self.max_candidates = max_candidates
        self.drop_empty = drop_empty
        self.built = True

    def call(self, boxes, scores, images=None, image_shape=None):
        relative = box_ops.is_relative(self.bounding_box_format)
        corners = "rel_xyxy" if relative else "xyxy"
        boxes = box_ops.convert(at_least_float32(boxes), self.bounding_box_format, corners)
        if images is not None:
            image_shape = ops.shape(images)[1:]
        if image_shape is not None:
            boxes = box_ops.clip(boxes, (1, 1) if relative else image_shape[:2])
        boxes, classes, confidence, count = non_max_suppression(
            boxes,
            scores,
            from_logits=self.from_logits,
            iou_threshold=self.iou_threshold,
            confidence_threshold=self.confidence_threshold,
            max_detections=self.max_detections,
            max_candidates=self.max_candidates,
            drop_empty=self.drop_empty,
        )
        return {
            "boxes": box_ops.convert(boxes, corners, self.bounding_box_format),
            "confidence": confidence,
            "classes": classes,
            "labels": classes,
            "num_detections": count,
        }

    def compute_output_spec(self, boxes, scores, images=None, image_shape=None):
        # Keras would find out by trying, with torch on a batch of dozens.
        batch, dtype = boxes.shape[0], keras.backend.result_type(boxes.dtype, "float32")
        many = (batch, self.max_detections)
        return {
            "boxes": keras.KerasTensor((*many, 4), dtype),
            "confidence": keras.KerasTensor(many, dtype),
            "classes": keras.KerasTensor(many, "int32"),
            "labels": keras.KerasTensor(many, "int32"),
            "num_detections": keras.KerasTensor((batch,), "int32"),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "bounding_box_format": self.bounding_box_format,
            "from_logits": self.from_logits,
            "iou_threshold": self.iou_threshold,
            "confidence_threshold": self.confidence_threshold,
            "max_detections": self.max_detections,
            "max_candidates": self.max_candidates,
            "drop_empty": self.drop_empty,
        }
