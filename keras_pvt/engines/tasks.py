"""Detectors and segmenters whose networks an engine computes; what follows is as ever."""

import dataclasses
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_pvt.engines import table
from keras_pvt.engines.named import Wish
from keras_pvt.engines.network import Network
from keras_pvt.engines.subject import Subject

if TYPE_CHECKING:
    from keras_pvt.detection.detector import Detector
    from keras_pvt.segmentation.inference import Predictor

logger = logging.getLogger("keras_pvt.engines")


def segment_by(predictor: "Predictor", wish: Wish, file: str | None = None) -> None:
    """Let an engine compute the logits of a segmenter, up to its last resize.

    Args:
        predictor: is changed.
        wish: of the user's.
        file: what `wish` has of the file that its model is of; None: of none.
    """
    if not wish.is_keras:
        pixels = predictor.takes_pixels
        predictor.compute_by(lambda model: wish.network(_part(model, file), pixels))


def detector_by(detector: "Detector", wish: Wish, file: str | None = None) -> "Detector":
    """Let an engine compute what a detector makes of images alone; Keras makes boxes of it.

    Args:
        detector: of this package or another.
        wish: of the user's.
        file: see `segment_by`.
    Returns:
        The detector; itself where Keras computes, as it does of other systems, which is logged.
    """
    if wish.is_keras:
        return detector
    model = detector.model
    if not (hasattr(model, "image_maps") and model.image_maps()):
        if wish.makes and wish.engine != table.KERAS:
            logger.warning(
                "Keras computes: engines take RetinaNets and Mask R-CNNs of keras_pvt, no other "
                "detectors yet"
            )
        return detector
    finder = _Finder(model, wish, file)
    return dataclasses.replace(detector, finder=finder)


def _part(model: Any, file: str | None) -> Subject:
    """What an engine computes of the model in a file, which is not the whole."""
    return Subject.of(model, None if file is None else f"{file}, in part")


class _Finder:
    """A detector in two parts: what needs the images alone, and what makes boxes.

    Args:
        model: the `DetectionModel`.
        wish: of the user's.
        file: see `segment_by`.
    """

    def __init__(self, model: Any, wish: Wish, file: str | None):
        import keras

        maps = model.image_maps()
        whole = model.padded_detector()
        self.network: Network = wish.network(
            _part(keras.Model(model.input, maps, name=model.name), file), pixels=True
        )
        self._names = list(maps)
        # A list, as Keras wants the names of tensors in a dictionary, and these are inside a model.
        self._boxes = keras.Model([*maps.values(), whole.input["sizes"]], whole.output)

    def __call__(self, images: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
        """What `Detector` asks of a model that ends in boxes."""
        maps = self.network.predict_on_batch(images)
        inputs = [*(maps[name] for name in self._names), sizes.astype("float32")]
        return self._boxes.predict_on_batch(inputs)
