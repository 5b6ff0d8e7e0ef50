"""Detection: RetinaNet, Mask R-CNN, DETR, and boxes, masks and the suppression of duplicates."""

from keras_pvt.detection.models.detr import DETR
from keras_pvt.detection.models.mask_rcnn import MaskRCNN
from keras_pvt.detection.models.retinanet import RetinaNet
from keras_pvt.detection.ops import boxes
from keras_pvt.detection.ops.masks import paste_masks
from keras_pvt.detection.ops.nms import NonMaxSuppression

__all__ = ["DETR", "MaskRCNN", "NonMaxSuppression", "RetinaNet", "boxes", "paste_masks"]
