"""Suppression of boxes that overlap better ones."""

import math

import keras
from keras import ops

from keras_pvt.detection.ops import boxes as box_ops
from keras_pvt.detection.ops.boxes import iou
from keras_pvt.layers import base
from keras_pvt.ops import greedy, take_rows

_NEVER = -math.inf  # score of what is not a detection


def suppress(boxes, groups, valid, iou_threshold: float):
    """Greedy suppression among boxes, sorted by falling score.

    A box goes if it overlaps a better one that stays, of its own group.

    Args:
        boxes: "xyxy", float tensor `(B, K, 4)`.
        groups: integer tensor `(B, K)`, such as classes; groups do not affect each other.
        valid: boolean tensor `(B, K)`; other boxes neither stay nor suppress.
        iou_threshold: overlap above which the worse box goes, 0 to 1.
    Returns:
        Boolean tensor `(B, K)`: what stays.
    """

    def beats(better, worse):
        """Of `(B, n)` and `(B, m)` boxes and groups: `(B, n, m)`."""
        same = ops.expand_dims(better[1], 2) == ops.expand_dims(worse[1], 1)
        return ops.logical_and(same, iou(better[0], worse[0]) > iou_threshold)

    return greedy(beats, (boxes, groups), valid)


def non_max_suppression(
    boxes,
    scores,
    from_logits: bool = False,
    iou_threshold: float = 0.5,
    confidence_threshold: float = 0.05,
    max_detections: int = 100,
    max_candidates: int = 1000,
    drop_empty: bool = True,
):
    """Detections among scored boxes, class by class, in a tensor of fixed size.

    A box can be a detection of several classes. Boxes with a NaN or an infinity are never one,
    nor are scores that are NaN.

    Args:
        boxes: "xyxy", float tensor `(B, N, 4)`.
        scores: float tensor `(B, N, classes)`: probabilities, or logits.
        from_logits: whether `scores` are logits, of a sigmoid for each class.
        iou_threshold: overlap above which the worse box of one class goes, 0 to 1.
        confidence_threshold: probability that a detection has to exceed, 0 to 1.
        max_detections: the most detections of an image, those with the highest scores.
        max_candidates: pairs of box and class that are compared, those with the highest scores.
            Memory grows with its square.
        drop_empty: whether boxes without area are never a detection.
    Returns:
        boxes `(B, max_detections, 4)`, classes `(B, max_detections)` int32, confidence
        `(B, max_detections)`, 0 to 1, falling, and the number of detections `(B,)` int32. After
        the detections come boxes of zeros, of class -1 and confidence 0.
    Source:
        Greedy NMS for each class, as whai362/PVT's detectors have it from mmdetection.
    """
    boxes, scores = at_least_float32(boxes), at_least_float32(scores)
    cut = _logit(confidence_threshold) if from_logits else confidence_threshold
    usable = ops.all(ops.isfinite(boxes), axis=-1)
    if drop_empty:
        usable = ops.logical_and(usable, ops.all(boxes[..., 2:] > boxes[..., :2], axis=-1))
    scores = ops.where(scores > cut, scores, _NEVER)  # false for NaN, too
    find = _best_of_classes if len(boxes.shape) == 4 else _best_pairs
    boxes, labels, pairs = find(boxes, scores, usable, max_candidates)
    keep = suppress(boxes, labels, pairs > _NEVER, iou_threshold)
    confidence, index = ops.top_k(ops.where(keep, pairs, _NEVER), max_detections)
    found = confidence > _NEVER
    boxes = ops.where(ops.expand_dims(found, -1), take_rows(boxes, index), 0.0)
    labels = ops.where(found, take_rows(labels, index), -1)
    confidence = ops.sigmoid(confidence) if from_logits else confidence
    confidence = ops.where(found, confidence, 0.0)
    return boxes, labels, confidence, ops.sum(ops.cast(found, "int32"), axis=-1)


def _best_pairs(boxes, scores, usable, count: int):
    """Boxes, classes and scores of the best pairs of a box and a class, `(B, count)`."""
    # The best pairs are of the best boxes, so that only those have to be sorted.
    best, index = _best(ops.where(usable, ops.max(scores, axis=-1), _NEVER), count)
    pairs = take_rows(scores, index)
    pairs = ops.where(ops.expand_dims(best, -1) > _NEVER, pairs, _NEVER)
    classes = scores.shape[-1]
    pairs, order = ops.top_k(ops.reshape(pairs, (-1, count * classes)), count)
    boxes = take_rows(boxes, take_rows(index, order // classes))
    return boxes, ops.cast(order % classes, "int32"), pairs


def _best_of_classes(boxes, scores, usable, count: int):
    """`_best_pairs`, where each class has boxes of its own."""
    classes, number = scores.shape[-1], ops.shape(scores)[1]
    scores = ops.where(usable, scores, _NEVER)
    pairs, order = _best(ops.reshape(scores, (-1, number * classes)), count)
    boxes = take_rows(ops.reshape(boxes, (-1, number * classes, 4)), order)
    return boxes, ops.cast(order % classes, "int32"), pairs


def _best(scores, count: int):
    """The best of scores `(B, N)` and their places, `(B, count)`; N may be smaller."""
    padded = ops.pad(scores, ((0, 0), (0, count)), constant_values=_NEVER)
    best, index = ops.top_k(padded, count)
    return best, ops.minimum(index, ops.shape(scores)[1] - 1)


def at_least_float32(x):
    """`x` in float32 or float64: pixels need more digits than half precision has."""
    return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))


def _logit(probability):
    if probability in (0, 1):
        return math.copysign(math.inf, probability - 0.5)
    return math.log(probability / (1 - probability))


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
        max_detections: the most detections of an image, those with the highest scores.
        max_candidates: pairs of box and class that are compared, those with the highest scores.
        drop_empty: whether boxes without area, such as those outside the image, are never a
            detection; official detectors keep them.
    Call arguments:
        boxes: float tensor `(B, N, 4)`.
        scores: float tensor `(B, N, classes)`.
        images: the images `(B, H, W, channels)`, to which boxes are first clipped; or None.
        image_shape: instead of `images`, their (height, width, channels).
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
