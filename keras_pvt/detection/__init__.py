"""Detection: RetinaNet, DETR, and boxes and the suppression of duplicates for any detector."""

from keras_pvt.detection import boxes
from keras_pvt.detection.detr import DETR
from keras_pvt.detection.non_max_suppression import NonMaxSuppression
from keras_pvt.detection.retinanet import RetinaNet

__all__ = ["DETR", "NonMaxSuppression", "RetinaNet", "boxes"]
