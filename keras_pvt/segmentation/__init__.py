"""Semantic segmentation: models, data, metrics and drawing."""

from keras_pvt.segmentation.semantic_fpn import SemanticFPN
from keras_pvt.segmentation.trans2seg import Trans2Seg

__all__ = ["SemanticFPN", "Trans2Seg"]
