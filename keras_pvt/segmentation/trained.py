"""A trained segmenter: its model, the names of its classes, and its file."""

import dataclasses
import os
from collections.abc import Sequence

import keras

from keras_pvt.models.trained_checkpoint import load_trained
from keras_pvt.models.trained_model import TrainedModel


@dataclasses.dataclass(frozen=True)
class TrainedSegmenter:
    """A model that predicts the class of each pixel, with the names of the classes.

    Args:
        model: functional, from images `(B, H, W, 3)` to logits `(B, H, W, K)`. Images are RGB
            0..255 or normalised; `keras_pvt.segmentation.Predictor` finds out which.
        classes: K names, in the order of the logits.
        size: pixels that the shorter side of an image is scaled to; None: images are not scaled.
    Raises:
        ValueError: the number of names is not K.
    """

    model: keras.Model
    classes: tuple[str, ...]
    size: int | None = None

    def __post_init__(self):
        number = self.model.output_shape[-1]
        if len(self.classes) != number:
            raise ValueError(
                f"the model gives logits of {number} classes; got {len(self.classes)} names."
            )

    def save(self, path: str | os.PathLike) -> None:
        """Write a .keras file that also holds the classes and the size.

        Args:
            path: of the file, which ends in .keras.
        Raises:
            OSError: the file cannot be written; an existing file is unchanged.
        """
        size = None if self.size is None else (self.size, self.size)
        system = getattr(self.model, "system", "")
        TrainedModel(self.model, "segmentation", system, self.classes, size, logits=True).save(path)

    @classmethod
    def load(
        cls, path: str | os.PathLike, classes: Sequence[str] | None = None
    ) -> "TrainedSegmenter":
        """Load a file of `save`, `keras_pvt.save_model` or `keras-pvt train`, or a checkpoint.

        Args:
            path: a .keras file or a checkpoint.
            classes: class names for a checkpoint, in the order of the logits; by default its own.
        Returns:
            The segmenter.
        Raises:
            OSError: the file cannot be opened.
            ValueError: the file is not of this kind, or is for another task; its classes have no
                names.
            ImportError: the library that the model was built with is not installed.
        """
        trained = load_trained(path, "segmentation", classes)
        size = None if trained.size is None else min(trained.size)
        return cls(trained.model, trained.classes, size)
