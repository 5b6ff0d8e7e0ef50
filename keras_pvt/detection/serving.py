"""A trained detector as one functional model from images to boxes, for export."""

import keras
from keras import ops

from keras_pvt import systems
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.libraries import HEADS
from keras_pvt.detection.ops import boxes as box_ops
from keras_pvt.layers import base
from keras_pvt.models.trained_model import copy_weights
from keras_pvt.recipes.detection import OWN

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
            shape=(count, 4),
            initializer="zeros",
            trainable=False,
            autocast=False,  # under any policy pixels stay float32
            name="anchors",
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


def ends_in_boxes(model: keras.Model) -> keras.Model:
    """What is exported of a detector of ours, see `System.serve`.

    It is not told where images end, which DETR is in training.
    """
    if getattr(model, "padded", False):
        whole = type(model).from_config(model.get_config() | {"padded": False})
        copy_weights(model, whole)
        model = whole
    return model.detector()


def serving_model(detector: Detector) -> keras.Model:
    """A detector as a functional model from images to boxes, for `keras_pvt.export`.

    Args:
        detector: the trained detector; the model shares its weights.
    Returns:
        A model from "images", RGB 0..255 `(B, H, W, 3)`, to the dictionary of
        `keras_pvt.detection.NonMaxSuppression`, boxes in pixels of these images; Mask R-CNN also
        gives "masks". Images have no padding. Their size is free, but for the detectors of
        keras-cv and KerasHub, which take the size they were trained on.
    """
    if detector.library == OWN:
        return systems.named(detector.model.system).load("serve")(detector.model)
    heads = HEADS[detector.library]
    model = detector.model
    levels = model.anchor_generator(ops.zeros((*detector.size, 3)))
    anchors = box_ops.convert(
        ops.concatenate(list(levels.values())),
        model.anchor_generator.bounding_box_format,
        heads.encoding,
    )
    images = keras.Input((*detector.size, 3), name="images")
    # As it was declared, else Keras warns. The whole model as one layer is loaded by its own
    # library, when another backend writes.
    outputs = model({"images": images} if isinstance(model.input, dict) else images)
    decode = AnchoredBoxes(anchors.shape[0], heads.encoding, heads.variance)
    decode.anchors.assign(anchors)
    suppression = model.prediction_decoder
    found = suppression(
        decode(outputs[heads.boxes]), outputs[heads.scores], image_shape=(*detector.size, 3)
    )
    return keras.Model(images, found, name=model.name)
