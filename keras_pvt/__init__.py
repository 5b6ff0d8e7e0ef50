"""Pyramid Vision Transformer for Keras 3, on TensorFlow, JAX and PyTorch."""

from keras_pvt import default_backend  # noqa: F401, before anything imports Keras

# isort: split
from keras_pvt import detection, layers, segmentation, training
from keras_pvt.classification.decoding import decode_predictions
from keras_pvt.exporting import export
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.classifier import (
    PVTLarge,
    PVTMedium,
    PVTNano,
    PVTSmall,
    PVTTiny,
    classifier,
)
from keras_pvt.models.preprocessing import preprocess_input
from keras_pvt.utils.images import eval_transform, load_image
from keras_pvt.variants import PVTConfig

__version__ = "0.1.0"

__all__ = [
    "PVTBackbone",
    "PVTConfig",
    "PVTLarge",
    "PVTMedium",
    "PVTNano",
    "PVTSmall",
    "PVTTiny",
    "classifier",
    "decode_predictions",
    "detection",
    "eval_transform",
    "export",
    "layers",
    "load_image",
    "preprocess_input",
    "segmentation",
    "training",
]
