"""The detector and the segmenter that `gpu.py` measures, as Keras runs them."""

from collections.abc import Callable

import keras
import numpy as np
from gpu_cases import (
    DETECTOR_CLASSES,
    INFERENCE,
    RETINANET,
    SEGMENTER_CLASSES,
    VARIANT,
    Case,
)

OBJECTS = 8  # of an image


def call(case: Case) -> Callable:
    """An inference call, from images to boxes or to a class of every pixel, or a training step of
    Keras, on images that are on the device."""
    import keras_pvt

    size = case.size
    rng = np.random.default_rng(0)
    images = rng.standard_normal((case.batch, size, size, 3)).astype("float32")
    backbone = keras_pvt.PVTBackbone(VARIANT, input_shape=(size, size, 3))
    if case.model == RETINANET:
        model = keras_pvt.detection.RetinaNet(backbone, DETECTOR_CLASSES)
        run = model.detector()
        start = rng.uniform(0, size / 2, (case.batch, OBJECTS, 2))
        end = start + rng.uniform(size / 16, size / 2, start.shape)
        boxes = np.concatenate([start, end], axis=-1).astype("float32")
        classes = rng.integers(0, DETECTOR_CLASSES, (case.batch, OBJECTS)).astype("int32")
        labels, loss = {"boxes": boxes, "classes": classes}, {}
    else:
        model = run = keras_pvt.segmentation.SemanticFPN(backbone, SEGMENTER_CLASSES)
        labels = rng.integers(0, SEGMENTER_CLASSES, (case.batch, size, size)).astype("int32")
        loss = {"loss": keras_pvt.segmentation.PixelCrossentropy()}
    placed = keras.ops.convert_to_tensor(images)
    if case.kind == INFERENCE:
        return lambda: run.predict_on_batch(placed)
    model.compile(keras.optimizers.AdamW(1e-4), **loss)
    answers = keras.tree.map_structure(keras.ops.convert_to_tensor, labels)
    return lambda: model.train_on_batch(placed, answers)
