"""Predictions for image files."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator

import keras
import numpy as np

from keras_pvt.conversion import load_checkpoint
from keras_pvt.models.classifier import classifier
from keras_pvt.utils.image_files import read_in_batches
from keras_pvt.utils.images import default_resize_size, eval_transform
from keras_pvt.variants import VARIANTS, WEIGHTS
from keras_pvt.weights import default_name, find


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model makes of one file.

    Args:
        path: of the file.
        scores: `(classes,)`, or None where the file could not be read.
        error: what was wrong with the file, or None.
    """

    path: pathlib.Path
    scores: np.ndarray | None
    error: str | None = None


@dataclasses.dataclass(frozen=True)
class FileClassifier:
    """A model, and the crop of an image that it wants.

    Args:
        model: takes `(B, size, size, 3)` RGB 0..255 and gives `(B, classes)`.
        size: side of the crop in pixels.
        resize_size: pixels of the image's short side before the crop.
    """

    model: keras.Model
    size: int
    resize_size: int

    @classmethod
    def load(
        cls, variant: str, weights: str | os.PathLike | None = None, size: int | None = None
    ) -> "FileClassifier":
        """Build a variant with weights.

        Args:
            variant: name of a row of `keras_pvt.variants.VARIANTS`.
            weights: a name or a file, as for `keras_pvt.classifier`, but with every weight of
                the head; None takes the first name that the table of weights has.
            size: side of the crop in pixels; None is what the weights were trained on.
        Raises:
            ValueError: an unknown variant, or weights that do not fit.
            OSError: weights that cannot be had.
        """
        weights = default_name(variant) if weights is None else weights
        path = find(variant, weights)
        facts = WEIGHTS.get((variant, str(weights)))
        if size is None:
            size = VARIANTS[variant].image_size if facts is None else facts.image_size
        resize_size = default_resize_size(size)
        if facts is not None:
            resize_size = int(facts.resize_size / facts.image_size * size)
        model = classifier(variant, input_shape=(size, size, 3), include_preprocessing=True)
        load_checkpoint(model, path, resize_positions=True)
        return cls(model, size, resize_size)

    def crop(self, path: str | os.PathLike) -> np.ndarray:
        """The part of an image file that the model sees, uint8 `(size, size, 3)`.

        Raises:
            OSError: the file cannot be opened.
            ImageError: it cannot be read as an image.
        """
        return eval_transform(path, self.size, self.resize_size)

    def predict(
        self, paths: Iterable[str | os.PathLike], batch_size: int = 32
    ) -> Iterator[Prediction]:
        """Predictions for files, in their order; a file that cannot be read stops nothing.

        Args:
            paths: image files.
            batch_size: images that the model gets at once. The last batch is filled up, so
                that a compiled model sees one shape only.
        """
        for files in read_in_batches(paths, self.crop, batch_size):
            yield from self._batch(files, batch_size)

    def _batch(self, files, batch_size):
        crops = [file.image for file in files if file.image is not None]
        scores = iter(())
        if crops:
            batch = np.zeros((batch_size, self.size, self.size, 3), "uint8")
            batch[: len(crops)] = crops
            scores = iter(self.model.predict_on_batch(batch))
        for path, crop, error in files:
            yield Prediction(path, None if crop is None else next(scores), error)
