"""Classification of images: predictions for files, and attention maps."""

from typing import TYPE_CHECKING

from keras_pvt.utils.lazy import importer

if TYPE_CHECKING:
    from keras_pvt.classification.attention_grid import AttentionGrid, attention_maps
    from keras_pvt.classification.file_predictions import Prediction
    from keras_pvt.classification.predictor import FileClassifier

__all__ = ["AttentionGrid", "FileClassifier", "Prediction", "attention_maps"]

# `keras-pvt predict` does without Keras where an engine computes.
__getattr__ = importer(
    __name__,
    {
        "attention_grid": ("AttentionGrid", "attention_maps"),
        "file_predictions": ("Prediction",),
        "predictor": ("FileClassifier",),
    },
)
