"""Positions in an image as sines and cosines, and which cells of a map are padding."""

import math

import keras
from keras import ops

from keras_pvt.layers import base

TEMPERATURE = 10000.0
EPSILON = 1e-6


@base.register
class SinePositions(keras.layers.Layer):
    """Positions of the cells of a map, counted from the image's own edges.

    Args:
        dim: channels C of a position: C / 2 of y, then C / 2 of x, sines and cosines in turn;
            divisible by 4.
    Call arguments:
        x: map `(B, h, w, any)`.
        visible: boolean `(B, h * w)`, which cells are of the image; None for all.
    Returns:
        `(B, h * w, C)`, -1 to 1, row-major. Cells of padding go on with the last row and column.
    Raises:
        ValueError: `dim` not divisible by 4.
    Source:
        DETR, arXiv 2005.12872; mmdetection 2.13 mmdet/models/utils/positional_encoding.py.
        Differs: cells of padding have other positions, which nothing asks for.
    """

    def __init__(self, dim: int, **kwargs):
        super().__init__(**kwargs)
        base.check_positive("SinePositions", dim=dim)
        if dim % 4:
            raise ValueError(f"SinePositions: `dim` must be divisible by 4; got {dim}.")
        self.dim = dim
        self.built = True

    def call(self, x, visible=None):
        batch, height, width, _ = ops.shape(x)
        if visible is None:
            rows = ops.ones_like(x[:, :, 0, 0])
            columns = ops.ones_like(x[:, 0, :, 0])
        else:
            visible = ops.reshape(visible, (batch, height, width))
            rows, columns = visible[:, :, 0], visible[:, 0, :]
        y, x = (self._waves(ops.cast(cells, "float32")) for cells in (rows, columns))
        y = ops.expand_dims(y, 2) + ops.zeros_like(ops.expand_dims(x, 1))  # (B, h, w, C / 2)
        x = ops.expand_dims(x, 1) + ops.zeros_like(y)
        positions = ops.reshape(ops.concatenate([y, x], axis=-1), (batch, -1, self.dim))
        return ops.cast(positions, self.compute_dtype)

    def _waves(self, cells):
        """From 1 for the image's own cells of an axis `(B, n)`, and 0 for padding."""
        places = ops.cumsum(cells, axis=1)
        places = places / (places[:, -1:] + EPSILON) * (2 * math.pi)
        half = self.dim // 2
        powers = [TEMPERATURE ** (2 * n / half) for n in range(half // 2)]
        angles = ops.expand_dims(places, -1) / ops.convert_to_tensor(powers, "float32")
        waves = ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1)  # (B, n, C / 4, 2)
        return ops.reshape(waves, (*ops.shape(places), half))

    def compute_output_spec(self, x, visible=None):
        batch, height, width, _ = x.shape
        cells = None if None in (height, width) else height * width
        return keras.KerasTensor((batch, cells, self.dim), dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim}


@base.register
class VisibleCells(keras.layers.Layer):
    """Which cells of a map are of the image, not of the padding on its right and below.

    The pixel at the top left corner of a cell decides.

    Call arguments:
        x: map `(B, h, w, any)`.
        images: what it is made from, `(B, H, W, any)`, with padding.
        sizes: `(B, 2)`, (height, width) of each image without padding, in pixels; less than 1
            counts as 1.
    Returns:
        Boolean `(B, h * w)`, row-major.
    Source:
        mmdetection 2.13 mmdet/models/dense_heads/detr_head.py, which takes the nearest pixels
        of a mask.
    """

    def call(self, x, images, sizes):
        batch, *cells, _ = ops.shape(x)
        rows, columns = (
            ops.arange(0, count) * side // count
            < ops.maximum(ops.cast(sizes[:, n : n + 1], "int32"), 1)
            for n, (count, side) in enumerate(zip(cells, ops.shape(images)[1:3], strict=True))
        )
        visible = ops.logical_and(ops.expand_dims(rows, 2), ops.expand_dims(columns, 1))
        return ops.reshape(visible, (batch, -1))

    def compute_output_spec(self, x, images, sizes):
        batch, height, width, _ = x.shape
        cells = None if None in (height, width) else height * width
        return keras.KerasTensor((batch, cells), dtype="bool")

    def get_config(self):  # Keras writes none of its own where `dtype` is a policy object
        return super().get_config()
