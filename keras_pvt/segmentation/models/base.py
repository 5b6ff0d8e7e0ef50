"""What the segmentation models share."""

from keras_pvt.models.on_backbone import DensePredictionModel


class Segmenter(DensePredictionModel):
    """A functional model from a backbone's input to logits, that saves with its backbone."""
