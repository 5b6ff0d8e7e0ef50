"""A trained detector: its model, what must be known to use it, and its file."""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import keras
import numpy as np

from keras_pvt.detection.data.letterbox import PADDING, Letterbox
from keras_pvt.detection.libraries import float32_outputs, without_input_warning
from keras_pvt.detection.results import Detections
from keras_pvt.models.trained_checkpoint import load_trained
from keras_pvt.models.trained_model import TrainedModel
from keras_pvt.recipes.detection import OWN
from keras_pvt.utils.image_files import read_in_batches
from keras_pvt.utils.images import load_image
from keras_pvt.utils.video import Frame


@dataclasses.dataclass(frozen=True)
class Detector:
    """A model that finds objects, with its classes and its image size.

    Args:
        model: takes images `(B, H, W, 3)`, RGB 0..255: `keras_pvt.detection.RetinaNet`,
            `MaskRCNN` or `DETR`, or a model made by `keras_pvt.detection.libraries.retinanet`.
        library: library that the model was built with, "keras_pvt", "keras_cv" or "keras_hub".
        classes: names, in the order of the labels.
        size: size in pixels of the images that the model takes. For keras_pvt's models, what the
            shorter and the longer side are scaled to, see `Letterbox.within`. For those of other
            libraries, the only (height, width) that they take.
        finder: function that finds boxes in place of the model, from a batch of images and the
            sizes of their visible parts, `(B, 2)`; None: the model finds them.
    """

    model: keras.Model
    library: str
    classes: list[str]
    size: tuple[int, int]
    finder: Callable[[np.ndarray, np.ndarray], dict] | None = None

    def save(self, path: str | os.PathLike) -> None:
        """Write a .keras file that also holds the classes and the size.

        Args:
            path: of the file, which ends in .keras.
        Raises:
            OSError: the file cannot be written; an existing file is unchanged.
        """
        system = getattr(self.model, "system", "retinanet" if self.library != OWN else "")
        TrainedModel(
            self.model,
            "detection",
            system,
            tuple(self.classes),
            self.size,
            library=self.library,
        ).save(path)

    @classmethod
    def load(cls, path: str | os.PathLike, classes: Sequence[str] | None = None) -> "Detector":
        """Load a file of `save`, `keras_pvt.save_model` or `keras-pvt train`, or a checkpoint.

        Args:
            path: a .keras file, or a checkpoint that also stores the settings that weights do not
                tell.
            classes: class names for a checkpoint, in the order of the outputs; by default its own.
        Returns:
            The detector.
        Raises:
            OSError: the file cannot be opened.
            ValueError: the file is not of this kind, or is for another task; its classes have no
                names.
            ImportError: the library that the model was built with is not installed.
        """
        return cls.of(load_trained(path, "detection", classes))

    @classmethod
    def of(cls, trained: TrainedModel) -> "Detector":
        """The detector of a trained model.

        Args:
            trained: from `keras_pvt.load_model`.
        Returns:
            The detector.
        Raises:
            ValueError: the size of the images that it takes is not known.
        """
        if trained.size is None:
            raise ValueError("a detector needs the size of the images that it sees.")
        if trained.library != OWN:
            float32_outputs(trained.model)
        return cls(trained.model, trained.library, list(trained.classes), trained.size)

    def place(self, source: tuple[int, int]) -> Letterbox:
        """Return where an image lies on the canvas that the model gets.

        Args:
            source: (height, width) of the image in pixels.
        Returns:
            The `Letterbox`.
        """
        if self.library == OWN:
            return Letterbox.within(source, *self.size)
        return Letterbox.fit(source, self.size)

    def detect(
        self,
        paths: Iterable[str | os.PathLike | Frame],
        batch_size: int = 8,
        keep_images: bool = False,
    ) -> Iterator[Detections]:
        """Find objects in image files, in order; a file that cannot be read is reported.

        Args:
            paths: image files, and frames of videos, of any size.
            batch_size: images in a batch; a batch has images with the same canvas size. A smaller
                batch is filled up, so that a compiled model sees only one shape for each size.
            keep_images: whether the detections contain the images, to draw on; up to three batches
                of images are in memory at once.
        Yields:
            The detections of each file.
        """

        def read(path):
            """The image as the model sees it, where it lies there, and as it is if wanted."""
            image = load_image(path)
            letterbox = self.place(image.shape[:2])
            return letterbox.image(image), letterbox, image if keep_images else None

        for files in read_in_batches(paths, read, batch_size):
            seen = [file.image[:2] for file in files if file.error is None]
            found = iter(self._found(seen, batch_size))
            for path, what, error, frame in files:
                if error is None:
                    _, letterbox, image = what
                    one = next(found)
                    boxes = letterbox.boxes_back(one.pop("boxes"))
                    where = {"size": letterbox.source, "image": image, "frame": frame}
                    yield Detections(path, boxes, **one, **where)
                else:
                    none = np.empty((0, 4)), np.empty(0), np.empty(0, int)
                    yield Detections(path, *none, error, frame=frame)

    def _found(self, seen: Sequence[tuple[np.ndarray, Letterbox]], batch_size: int) -> list[dict]:
        """For each image what `Detections` is made of, boxes on its canvas."""
        results: list[dict] = [{}] * len(seen)
        canvases = [letterbox.canvas for _, letterbox in seen]
        for canvas in dict.fromkeys(canvases):
            rows = [row for row, own in enumerate(canvases) if own == canvas]
            count = batch_size if self.finder is None else len(rows)
            batch = np.empty((count, *canvas, 3), "float32")
            batch[:] = PADDING
            sizes = np.full((count, 2), canvas, "int32")
            for n, row in enumerate(rows):
                batch[n] = seen[row][0]
                sizes[n] = seen[row][1].visible_size
            found = (self.finder or self._by_keras)(batch, sizes)
            for n, row in enumerate(rows):
                results[row] = _row(found, n)
        return results

    def _by_keras(self, batch: np.ndarray, sizes: np.ndarray) -> dict:
        # Not predict_on_batch, whose input keras-cv's decoding does not understand, nor
        # KerasHub's own predict, which needs TensorFlow or Grain.
        with without_input_warning():
            model = self._finder
            inputs = {"images": batch, "sizes": sizes} if self.library == OWN else batch
            return keras.Model.predict(model, inputs, batch_size=len(batch), verbose=0)

    @functools.cached_property
    def _finder(self) -> keras.Model:
        """What ends in boxes."""
        return self.model.padded_detector() if self.library == OWN else self.model


def _row(found: dict, n: int) -> dict:
    count = int(found["num_detections"][n])
    names = {"boxes": "boxes", "scores": "confidence", "labels": "classes", "masks": "masks"}
    return {name: found[key][n, :count] for name, key in names.items() if key in found}
