"""Detection: RetinaNet, Mask R-CNN and DETR, their data, and how good they are.

`boxes` has operations on boxes as tensors, `libraries` the RetinaNets of keras-cv and KerasHub.
"""

from typing import TYPE_CHECKING

from keras_pvt.utils.lazy import importer

if TYPE_CHECKING:
    from keras_pvt.detection import libraries
    from keras_pvt.detection.data.coco import load_coco
    from keras_pvt.detection.data.formats.choice import load_folder
    from keras_pvt.detection.data.samples import DetectionSet, Sample
    from keras_pvt.detection.detector import Detector
    from keras_pvt.detection.drawing import draw_detections
    from keras_pvt.detection.evaluation import average_precision
    from keras_pvt.detection.models.detr import DETR, DETRPostprocessor
    from keras_pvt.detection.models.mask_rcnn import MaskRCNN
    from keras_pvt.detection.models.retinanet import RetinaNet
    from keras_pvt.detection.ops import boxes
    from keras_pvt.detection.ops.masks import paste_masks
    from keras_pvt.detection.ops.nms import NonMaxSuppression
    from keras_pvt.detection.results import Detections
    from keras_pvt.detection.serving import serving_model

__all__ = [
    "DETR",
    "DETRPostprocessor",
    "DetectionSet",
    "Detections",
    "Detector",
    "MaskRCNN",
    "NonMaxSuppression",
    "RetinaNet",
    "Sample",
    "average_precision",
    "boxes",
    "draw_detections",
    "libraries",
    "load_coco",
    "load_folder",
    "paste_masks",
    "serving_model",
]

__getattr__ = importer(
    __name__,
    {
        "libraries": (),
        "data.coco": ("load_coco",),
        "data.formats.choice": ("load_folder",),
        "data.samples": ("DetectionSet", "Sample"),
        "detector": ("Detector",),
        "drawing": ("draw_detections",),
        "evaluation": ("average_precision",),
        "models.detr": ("DETR", "DETRPostprocessor"),
        "models.mask_rcnn": ("MaskRCNN",),
        "models.retinanet": ("RetinaNet",),
        "ops.boxes": (),
        "ops.masks": ("paste_masks",),
        "ops.nms": ("NonMaxSuppression",),
        "results": ("Detections",),
        "serving": ("serving_model",),
    },
)
