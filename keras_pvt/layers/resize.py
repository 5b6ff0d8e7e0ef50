"""Resizing of maps inside a model."""

import keras
from keras import ops

from keras_pvt.layers import base
from keras_pvt.ops import resize

INTERPOLATIONS = ("bilinear", "nearest")


class _Resize(keras.layers.Layer):
    def __init__(self, interpolation: str = "bilinear", align_corners: bool = False, **kwargs):
        super().__init__(**kwargs)
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"{type(self).__name__}: `interpolation` must be one of "
                f"{', '.join(INTERPOLATIONS)}; got {interpolation!r}."
            )
        self.interpolation = interpolation
        self.align_corners = align_corners

    def _resize(self, x, height, width):
        return resize(x, height, width, self.interpolation, self.align_corners)

    def get_config(self):
        return {
            **super().get_config(),
            "interpolation": self.interpolation,
            "align_corners": self.align_corners,
        }


@base.register
class Upsample(_Resize):
    """Makes a map `factor` times as high and wide.

    Args:
        factor: by which height and width are multiplied, 1 or more.
        interpolation: "bilinear" or "nearest".
        align_corners: for "bilinear": the centres of the first and last cells coincide, rather
            than the outer edges.
    Call arguments:
        x: float map `(B, H, W, C)`.
    Returns:
        Map `(B, factor * H, factor * W, C)`.
    Raises:
        ValueError: `factor` below 1; an unknown interpolation.
    """

    def __init__(
        self,
        factor: int = 2,
        interpolation: str = "bilinear",
        align_corners: bool = False,
        **kwargs,
    ):
        super().__init__(interpolation, align_corners, **kwargs)
        base.check_positive("Upsample", factor=factor)
        self.factor = factor

    def call(self, x):
        height, width = ops.shape(x)[1:3]
        return self._resize(x, self.factor * height, self.factor * width)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        sides = (None if side is None else self.factor * side for side in (height, width))
        return (batch, *sides, channels)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@base.register
class ResizeLike(_Resize):
    """Resizes a map to the height and width of another; a map of that size stays as it is.

    Args:
        interpolation: "bilinear" or "nearest".
        align_corners: for "bilinear": the centres of the first and last cells coincide, rather
            than the outer edges.
    Call arguments:
        x: float map `(B, H, W, C)`.
        like: map or image `(B, H2, W2, any)`.
    Returns:
        Map `(B, H2, W2, C)`.
    Raises:
        ValueError: an unknown interpolation.
    """

    def call(self, x, like):
        return self._resize(x, *ops.shape(like)[1:3])

    def compute_output_shape(self, x_shape, like_shape):
        return (x_shape[0], *like_shape[1:3], x_shape[-1])
