"""Matching of anchors with true boxes."""

import dataclasses

from keras import ops

from keras_pvt.detection.ops.boxes import iou

BACKGROUND = -1
IGNORED = -2


@dataclasses.dataclass(frozen=True)
class Matcher:
    """Matches anchors with the boxes of an image by their intersection over union (IoU).

    First, an anchor gets the box with which its IoU is highest, if that is high enough. Then each
    box gets the anchors with which its own IoU is highest, ties included, whatever box they had
    before. If two boxes compete for an anchor, the later one gets it.

    Args:
        positive: IoU from which on an anchor gets a box.
        negative: IoU below which an anchor is background; between the two it is ignored.
        best_from: IoU from which on a box gets its best anchors; None for never.
    Source:
        mmdetection 2.13 mmdet/core/bbox/assigners/max_iou_assigner.py. Differs: a box that no
        anchor overlaps at all gets none, where upstream gives it every anchor.
    """

    positive: float = 0.5
    negative: float = 0.4
    best_from: float | None = 0.0

    def __call__(self, anchors, boxes, exists, usable):
        """Match the anchors of one image.

        Args:
            anchors: "xyxy", float tensor `(N, 4)`.
            boxes: "xyxy", float tensor `(G, 4)`, G of 1 or more.
            exists: boolean tensor `(G,)`: False for padding.
            usable: boolean tensor `(N,)`: False for anchors to ignore.
        Returns:
            int32 tensor `(N,)`: index of a box, `BACKGROUND` or `IGNORED`.
        """
        overlap = iou(boxes, anchors)  # (G, N)
        counts = ops.logical_and(ops.expand_dims(exists, 1), ops.expand_dims(usable, 0))
        overlap = ops.where(counts, overlap, -1.0)
        best = ops.max(overlap, axis=0)
        match = ops.where(
            best >= self.positive,
            ops.cast(ops.argmax(overlap, axis=0), "int32"),
            ops.where(best < self.negative, BACKGROUND, IGNORED),
        )
        if self.best_from is not None:
            own = ops.max(overlap, axis=1, keepdims=True)
            wants = ops.logical_and(own > 0, own >= self.best_from)
            wants = ops.logical_and(wants, overlap == own)
            number = ops.expand_dims(ops.arange(boxes.shape[0], dtype="int32"), 1)
            last = ops.max(ops.where(wants, number, BACKGROUND), axis=0)
            match = ops.where(last >= 0, last, match)
        return ops.where(usable, match, IGNORED)
