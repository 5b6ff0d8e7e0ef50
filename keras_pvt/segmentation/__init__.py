"""Semantic segmentation: models, data, metrics and drawing."""

from keras_pvt.segmentation.inference import Predictor
from keras_pvt.segmentation.losses import PixelCrossentropy
from keras_pvt.segmentation.metrics import PixelAccuracy
from keras_pvt.segmentation.models.semantic_fpn import SemanticFPN
from keras_pvt.segmentation.models.trans2seg import Trans2Seg
from keras_pvt.segmentation.trained import TrainedSegmenter

__all__ = [
    "PixelAccuracy",
    "PixelCrossentropy",
    "Predictor",
    "SemanticFPN",
    "TrainedSegmenter",
    "Trans2Seg",
]
