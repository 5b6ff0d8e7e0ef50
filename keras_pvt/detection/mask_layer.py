"""Mask logits of boxes as probabilities."""

import keras
from keras import ops

from keras_pvt.layers import base


@base.register
class MaskProbabilities(keras.layers.Layer):
    """What `MaskHead` gives, 0 to 1; zeros where there is no box.

    Call arguments:
        logits: float tensor `(B, N, m, m)`.
        classes: int tensor `(B, N)`, -1 where there is no box.
    """

    def call(self, logits, classes):
        found = ops.expand_dims(ops.expand_dims(classes >= 0, -1), -1)
        return ops.where(found, ops.sigmoid(logits), 0.0)
