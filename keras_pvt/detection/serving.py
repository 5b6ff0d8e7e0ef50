"""A trained detector as one functional model, from images to boxes, to be exported."""

import keras
from keras import ops

from keras_pvt.detection import boxes as box_ops
from keras_pvt.detection.anchored_boxes import AnchoredBoxes
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.libraries import HEADS


def serving_model(detector: Detector) -> keras.Model:
    """What a detector's `predict` does, as a functional model, for `keras_pvt.export`.

    Args:
        detector: whose weights it shares.
    Returns:
        A model from "images", RGB 0..255 `(B, H, W, 3)` of the detector's size, to what
        `keras_pvt.detection.NonMaxSuppression` gives, boxes in pixels of these images.
    """
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
