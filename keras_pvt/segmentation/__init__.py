"""Semantic segmentation: models, data, metrics and drawing."""

from keras_pvt.segmentation.inference import Predictor
from keras_pvt.segmentation.losses import PixelCrossentropy
from keras_pvt.segmentation.metrics import PixelAccuracy
from keras_pvt.segmentation.semantic_fpn import SemanticFPN
from keras_pvt.segmentation.trained import TrainedSegmenter
from keras_pvt.segmentation.trans2seg import Trans2Seg

__all__ = [
    "PixelAccuracy",
    "PixelCrossentropy",
    "Predictor",
    "SemanticFPN",
    "TrainedSegmenter",
    "Trans2Seg",
]
