"""A trained detector as one functional model, from images to boxes, to be exported."""

import keras
from keras import ops

from keras_pvt.detection import boxes as box_ops
from keras_pvt.detection.anchored_boxes import AnchoredBoxes
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.libraries import HEADS
from keras_pvt.detection.recipe import OWN


def _without_padding(model: keras.Model) -> keras.Model:
    """A model that is not told where images end, which DETR is in training."""
    if not getattr(model, "padded", False):
        return model
    whole = type(model).from_config(model.get_config() | {"padded": False})
    whole.set_weights(model.get_weights())
    return whole


def serving_model(detector: Detector) -> keras.Model:
    """What a detector's `predict` does, as a functional model, for `keras_pvt.export`.

    Args:
        detector: whose weights it shares.
    Returns:
        A model from "images", RGB 0..255 `(B, H, W, 3)`, to what
        `keras_pvt.detection.NonMaxSuppression` gives, boxes in pixels of these images; of Mask
        R-CNN masks too. Images of other libraries' detectors are of the detector's size, of
        ours of any, without padding.
    """
    if detector.library == OWN:
        return _without_padding(detector.model).detector()
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
