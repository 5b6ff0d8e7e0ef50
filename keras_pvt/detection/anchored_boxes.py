"""Boxes from what a detector's head says of fixed anchors."""

import keras
from keras import ops

from keras_pvt.detection import boxes as box_ops
from keras_pvt.layers import base

ENCODINGS = ("center_xywh", "center_yxhw")


@base.register
class AnchoredBoxes(keras.layers.Layer):
    """Moves and scales anchors by the offsets that a head has learnt.

    Its one weight, `anchors` `(N, 4)`, holds centres and sizes in pixels, in the order of
    `encoding`; it is not trained.

    Args:
        count: anchors N.
        encoding: order of the four offsets, "center_xywh" or "center_yxhw".
        variance: numbers that the offsets are multiplied by, in the same order.
    Call arguments:
        offsets: float tensor `(B, N, 4)`: of the centre, in sizes of the anchor, and
            logarithms of the factors of its size.
    Returns:
        "xyxy" in pixels, float32 tensor `(B, N, 4)`, not clipped.
    Raises:
        ValueError: an unknown encoding.
    Source:
        Faster R-CNN, arXiv 1506.01497, equation 2.
    """

    def __init__(
        self,
        count: int,
        encoding: str = "center_xywh",
        variance: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0),
        **kwargs,
    ):
        # Half precision has no room for pixels.
        super().__init__(autocast=False, **{"dtype": "float32", **kwargs})
        if encoding not in ENCODINGS:
            raise ValueError(
                f"AnchoredBoxes: `encoding` must be one of {ENCODINGS}; got {encoding!r}."
            )
        self.count = count
        self.encoding = encoding
        self.variance = tuple(variance)
        self.anchors = self.add_weight(
            shape=(count, 4), initializer="zeros", trainable=False, name="anchors"
        )
        self.built = True

    def call(self, offsets):
        anchors = ops.convert_to_tensor(self.anchors)
        offsets = ops.cast(offsets, "float32") * ops.convert_to_tensor(self.variance, "float32")
        centres = offsets[..., :2] * anchors[:, 2:] + anchors[:, :2]
        sizes = ops.exp(offsets[..., 2:]) * anchors[:, 2:]
        return box_ops.convert(ops.concatenate([centres, sizes], -1), self.encoding, "xyxy")

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "count": self.count,
            "encoding": self.encoding,
            "variance": self.variance,
        }
