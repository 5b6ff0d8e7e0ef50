"""Pyramid Vision Transformer for Keras 3, on TensorFlow, JAX and PyTorch."""

import pathlib
import sys

from keras_pvt import default_backend  # before anything imports Keras

__version__ = "0.1.0"

# Importing the package registers its classes, so that Keras can load files that have them. Only
# the command `keras-pvt` does without, since Keras and a backend take seconds to import, and its
# help or `keras-pvt info` needs neither; its other commands call `cli.program.register_classes`.
# A program that Python is embedded in may have no arguments.
_PROGRAM = pathlib.PurePath(next(iter(getattr(sys, "argv", ())), ""))

if _PROGRAM.name not in ("keras-pvt", "keras-pvt.exe"):  # a keras-pvt.py is no command
    default_backend.check()

    from keras_pvt import (
        classification,
        conversion,
        detection,
        download,
        exporting,
        flops,
        layers,
        segmentation,
        training,
    )
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
    from keras_pvt.models.trained_model import TrainedModel, load_model, save_model
    from keras_pvt.utils.images import ImageError, eval_transform, load_image
    from keras_pvt.variants import PVTConfig, list_variants

__all__ = [
    "ImageError",
    "PVTBackbone",
    "PVTConfig",
    "PVTLarge",
    "PVTMedium",
    "PVTNano",
    "PVTSmall",
    "PVTTiny",
    "TrainedModel",
    "classification",
    "classifier",
    "conversion",
    "decode_predictions",
    "detection",
    "download",
    "eval_transform",
    "export",
    "exporting",
    "flops",
    "layers",
    "list_variants",
    "load_image",
    "load_model",
    "preprocess_input",
    "save_model",
    "segmentation",
    "training",
]
