"""Pyramid Vision Transformer for Keras 3, on TensorFlow, JAX and PyTorch."""

import pathlib
import sys

from keras_pvt import default_backend  # noqa: F401, before anything imports Keras

__version__ = "0.2.0.dev0"


def _is_command() -> bool:
    """Whether the program is `keras-pvt`, or `python -m keras_pvt`, and nobody's own.

    A program that Python is embedded in may have no arguments.
    """
    argv = getattr(sys, "argv", None) or [""]
    if argv[0] == "-m":  # until the module runs; what follows the options of Python is its name
        return sys.orig_argv[-len(argv)] in ("keras_pvt", "keras_pvt.cli")
    return pathlib.PurePath(argv[0]).name in ("keras-pvt", "keras-pvt.exe")  # no keras-pvt.py


# Importing the package registers its classes, so that Keras can load files that have them. Only
# the command does without, since Keras and a backend take seconds to import, and its help or
# `keras-pvt info` needs neither; what needs them calls `cli.program.start_keras`.
if not _is_command():
    from keras_pvt.registration import register_classes

    register_classes()

    from keras_pvt import (
        batch,
        classification,
        conversion,
        detection,
        download,
        evaluation,
        exporting,
        flops,
        layers,
        segmentation,
        training,
    )
    from keras_pvt.classification.decoding import decode_predictions
    from keras_pvt.engines.predictor import Predictor
    from keras_pvt.exporting import export
    from keras_pvt.inspection import Inspection, inspect_file
    from keras_pvt.models.backbone import PVTBackbone
    from keras_pvt.models.classifier import (
        PVTV2B0,
        PVTV2B1,
        PVTV2B2,
        PVTV2B3,
        PVTV2B4,
        PVTV2B5,
        PVTLarge,
        PVTMedium,
        PVTNano,
        PVTSmall,
        PVTTiny,
        PVTV2B2Linear,
        PVTV2Nano,
        classifier,
    )
    from keras_pvt.models.preprocessing import preprocess_input
    from keras_pvt.models.trained_model import TrainedModel, load_model, save_model
    from keras_pvt.utils.images import ImageError, eval_transform, load_image
    from keras_pvt.variants import PVTConfig, list_variants

__all__ = [
    "PVTV2B0",
    "PVTV2B1",
    "PVTV2B2",
    "PVTV2B3",
    "PVTV2B4",
    "PVTV2B5",
    "ImageError",
    "Inspection",
    "PVTBackbone",
    "PVTConfig",
    "PVTLarge",
    "PVTMedium",
    "PVTNano",
    "PVTSmall",
    "PVTTiny",
    "PVTV2B2Linear",
    "PVTV2Nano",
    "Predictor",
    "TrainedModel",
    "batch",
    "classification",
    "classifier",
    "conversion",
    "decode_predictions",
    "detection",
    "download",
    "eval_transform",
    "evaluation",
    "export",
    "exporting",
    "flops",
    "inspect_file",
    "layers",
    "list_variants",
    "load_image",
    "load_model",
    "preprocess_input",
    "save_model",
    "segmentation",
    "training",
]
