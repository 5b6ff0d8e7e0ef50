"""What the segmentation models share."""

from keras_pvt.models.dense_prediction import DensePredictionModel


class Segmenter(DensePredictionModel):
    """A functional model from a backbone's input to logits, that saves with its backbone."""
