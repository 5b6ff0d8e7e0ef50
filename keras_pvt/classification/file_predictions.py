"""What a classifier makes of image files. Keras is not imported: what computes may do without."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_pvt.models.preprocessing import preprocess_input
from keras_pvt.utils.image_files import read_in_batches
from keras_pvt.utils.images import eval_transform, load_image
from keras_pvt.utils.video import Frame


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model makes of one file, or of a frame of one.

    Args:
        path: of the file.
        scores: `(classes,)`, or None where the file could not be read.
        error: what was wrong with the file, or None.
        frame: which frame of a video, without its image; None: the file is an image.
        image: uint8 `(H, W, 3)`, where it was asked for; else None.
    """

    path: pathlib.Path
    scores: np.ndarray | None
    error: str | None = None
    frame: Frame | None = None
    image: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class CropClassifier:
    """A `FileClassifier` of anything that has the `predict_on_batch` of a Keras model."""

    model: Any
    size: int
    resize_size: int
    classes: tuple[tuple[str, str], ...] = ()
    logits: bool = False
    pixels: bool = True

    def crop(self, path: str | os.PathLike | np.ndarray) -> np.ndarray:
        """The part of an image file that the model sees.

        Args:
            path: of the file; or its image, uint8 `(H, W, 3)`.
        Returns:
            uint8 `(size, size, 3)`, RGB 0..255.
        Raises:
            OSError: the file cannot be opened.
            ImageError: it cannot be read as an image.
        """
        return eval_transform(path, self.size, self.resize_size)

    def model_input(self, crops: np.ndarray) -> np.ndarray:
        """Crops in the form that the model takes.

        Args:
            crops: `(B, size, size, 3)`, RGB 0..255.
        Returns:
            The crops, normalised if the model does not normalise them itself.
        """
        return crops if self.pixels else preprocess_input(crops)

    def predict(
        self,
        paths: Iterable[str | os.PathLike | Frame],
        batch_size: int = 32,
        keep_images: bool = False,
    ) -> Iterator[Prediction]:
        """Predictions for files, in their order; a file that cannot be read stops nothing.

        Args:
            paths: image files, and frames of videos.
            batch_size: images that the model gets at once. The last batch is filled up, so
                that a compiled model sees one shape only, but for an engine.
            keep_images: whether the predictions hold the images.
        Yields:
            The prediction for each file.
        """

        def read(source):
            image = load_image(source) if keep_images else None
            return self.crop(source if image is None else image), image

        for files in read_in_batches(paths, read, batch_size):
            yield from self._batch(files, batch_size)

    def scores(self, crops: Sequence[np.ndarray], batch_size: int) -> np.ndarray:
        """Probabilities of some crops.

        Args:
            crops: 1 to `batch_size` of uint8 `(size, size, 3)`, see `crop`.
            batch_size: that a compiled model sees; the rest of it is filled up.
        Returns:
            `(len(crops), classes)`.
        """
        # An engine does not compile for a number of images.
        rows = len(crops) if getattr(self.model, "any_batch", False) else batch_size
        batch = np.zeros((rows, self.size, self.size, 3), "uint8")
        batch[: len(crops)] = crops
        return self._probabilities(batch)[: len(crops)]

    def _batch(self, files, batch_size):
        crops = [file.image[0] for file in files if file.image is not None]
        scores = iter(self.scores(crops, batch_size) if crops else ())
        for path, what, error, frame in files:
            if what is None:
                yield Prediction(path, None, error, frame)
            else:
                yield Prediction(path, next(scores), None, frame, what[1])

    def _probabilities(self, batch):
        values = self.model.predict_on_batch(self.model_input(batch))
        if not self.logits:
            return values
        values = np.exp(values - values.max(axis=-1, keepdims=True))
        return values / values.sum(axis=-1, keepdims=True)
