"""Detections next to official ones."""

import numpy as np


def assert_end_with_images(boxes, sizes):
    """That boxes `(B, N, 4)` reach the edges of images `(height, width)`, and not beyond."""
    for own, (height, width) in zip(boxes, sizes, strict=True):
        assert own.min() == 0
        assert (own.max(axis=0) <= [width, height, width, height]).all()
        assert own.max() in (width, height)


def ranks(scores, labels, boxes, wanted_scores, wanted_labels, wanted_boxes, tie=2e-5):
    """The places of detections in official ones' order, which equal scores leave open.

    Scores that differ by less than rounding does from one processor to another change places;
    of all detections with such a score, the nearest box of the same class is meant.

    Args:
        scores, labels, boxes: of N detections; `(N,)`, `(N,)` and `(N, 4)`.
        wanted_scores, wanted_labels, wanted_boxes: of N official ones.
        tie: difference of scores up to which places may change.
    """
    free = np.ones(len(scores), bool)
    order = []
    for score, label, box in zip(wanted_scores, wanted_labels, wanted_boxes, strict=True):
        cost = abs(boxes - box).max(axis=1) + 1e6 * (labels != label)
        cost[~free | (abs(scores - score) > tie)] = np.inf
        order.append(int(np.argmin(cost)))
        free[order[-1]] = False
    return order
