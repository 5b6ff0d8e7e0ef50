"""Detection: RetinaNet, Mask R-CNN, DETR, and boxes, masks and the suppression of duplicates."""

from keras_pvt.detection import boxes
from keras_pvt.detection.detr import DETR
from keras_pvt.detection.mask_pasting import paste_masks
from keras_pvt.detection.mask_rcnn import MaskRCNN
from keras_pvt.detection.non_max_suppression import NonMaxSuppression
from keras_pvt.detection.retinanet import RetinaNet

__all__ = ["DETR", "MaskRCNN", "NonMaxSuppression", "RetinaNet", "boxes", "paste_masks"]
