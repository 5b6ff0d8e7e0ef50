"""Classification of images: predictions for files, and attention maps."""

from keras_pvt.classification.attention_maps import AttentionGrid, attention_maps
from keras_pvt.classification.predictor import FileClassifier, Prediction

__all__ = ["AttentionGrid", "FileClassifier", "Prediction", "attention_maps"]
