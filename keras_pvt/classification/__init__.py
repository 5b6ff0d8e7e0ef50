"""Classification of images: predictions for files, and attention maps."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_pvt.classification.attention_grid import AttentionGrid, attention_maps
    from keras_pvt.classification.file_predictions import Prediction
    from keras_pvt.classification.predictor import FileClassifier

__all__ = ["AttentionGrid", "FileClassifier", "Prediction", "attention_maps"]

# Imported when they are asked for: `keras-pvt predict` does without Keras where an engine computes.
_MODULES = {
    "AttentionGrid": "attention_grid",
    "attention_maps": "attention_grid",
    "FileClassifier": "predictor",
    "Prediction": "file_predictions",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    globals()[name] = value = getattr(module, name)
    return value
