"""Semantic segmentation: Semantic FPN and Trans2Seg, their data, loss and metrics, and drawing."""

from typing import TYPE_CHECKING

from keras_pvt.utils.lazy import importer

if TYPE_CHECKING:
    from keras_pvt.segmentation.data.opening import open_split, open_train_and_val
    from keras_pvt.segmentation.data.samples import LabelRule, SegmentationSet
    from keras_pvt.segmentation.drawing import draw_labels
    from keras_pvt.segmentation.evaluation import evaluate
    from keras_pvt.segmentation.inference import Predictor
    from keras_pvt.segmentation.losses import PixelCrossentropy
    from keras_pvt.segmentation.metrics import PixelAccuracy
    from keras_pvt.segmentation.models.semantic_fpn import SemanticFPN
    from keras_pvt.segmentation.models.trans2seg import Trans2Seg
    from keras_pvt.segmentation.trained import TrainedSegmenter

__all__ = [
    "LabelRule",
    "PixelAccuracy",
    "PixelCrossentropy",
    "Predictor",
    "SegmentationSet",
    "SemanticFPN",
    "TrainedSegmenter",
    "Trans2Seg",
    "draw_labels",
    "evaluate",
    "open_split",
    "open_train_and_val",
]

__getattr__ = importer(
    __name__,
    {
        "data.opening": ("open_split", "open_train_and_val"),
        "data.samples": ("LabelRule", "SegmentationSet"),
        "drawing": ("draw_labels",),
        "evaluation": ("evaluate",),
        "inference": ("Predictor",),
        "losses": ("PixelCrossentropy",),
        "metrics": ("PixelAccuracy",),
        "models.semantic_fpn": ("SemanticFPN",),
        "models.trans2seg": ("Trans2Seg",),
        "trained": ("TrainedSegmenter",),
    },
)
