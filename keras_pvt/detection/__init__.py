"""Detection: boxes, and the suppression of duplicates, for any detector and any backend."""

from keras_pvt.detection import boxes
from keras_pvt.detection.non_max_suppression import NonMaxSuppression

__all__ = ["NonMaxSuppression", "boxes"]
