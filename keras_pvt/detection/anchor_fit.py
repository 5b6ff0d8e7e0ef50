"""Whether a detector's anchors fit the boxes that it shall learn."""

import keras
import numpy as np

from keras_pvt.detection import boxes as box_ops
from keras_pvt.detection.geometry import Placement
from keras_pvt.detection.samples import DetectionSet

POSITIVE_IOU = 0.5  # from which on a RetinaNet's anchor learns a box


def fitted_share(
    model: keras.Model, data: DetectionSet, size: tuple[int, int], limit: int = 200
) -> dict[str, float]:
    """Share of the true boxes that an anchor fits; the others are never learnt.

    Args:
        model: as `keras_pvt.detection.libraries.retinanet` makes them.
        data: of which the first `limit` images are looked at.
        size: (height, width) in pixels of the images that the model sees.
    Returns:
        For each class 0 to 1, NaN if it has no boxes.
    """
    levels = model.anchor_generator(keras.ops.zeros((*size, 3)))
    anchors = keras.ops.concatenate(list(levels.values()))
    fits: list[list[bool]] = [[] for _ in data.classes]
    for sample in data.samples[:limit]:
        boxes = Placement.fit((sample.height, sample.width), size).boxes(sample.boxes)
        overlap = keras.ops.convert_to_numpy(box_ops.iou(keras.ops.array(boxes), anchors))
        for label, best in zip(sample.labels, overlap.max(axis=1), strict=True):
            fits[label].append(best >= POSITIVE_IOU)
    return {
        name: float(np.mean(own)) if own else np.nan
        for name, own in zip(data.classes, fits, strict=True)
    }
