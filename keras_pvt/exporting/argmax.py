"""The end of an exported segmentation model that gives classes."""

import keras

from keras_pvt.layers import base
from keras_pvt.ops import argmax


@base.register
class Argmax(keras.layers.Layer):
    """The number of the largest channel.

    Call arguments:
        x: float `(B, H, W, K)`.
    Returns:
        int32 `(B, H, W)`, 0 to K - 1.
    """

    def call(self, x):
        return argmax(x)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape[:-1], "int32")
