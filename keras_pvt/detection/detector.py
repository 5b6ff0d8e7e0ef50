"""A trained detector: its model, what has to be known to use it, and its file."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator

import keras
import numpy as np

from keras_pvt.detection.geometry import Placement
from keras_pvt.detection.libraries import LABEL_KEYS, float32_outputs, without_input_warning
from keras_pvt.image_files import in_batches
from keras_pvt.images import load_image
from keras_pvt.trained_files import load_with_facts, save_with_facts

# Member of the .keras file.
FACTS = "keras_pvt_detector.json"


@dataclasses.dataclass(frozen=True)
class Detections:
    """What a detector finds in an image file.

    Args:
        path: of the file.
        boxes: `(N, 4)` float32, xyxy in pixels of the image, clipped to it.
        scores: `(N,)` float32, 0 to 1, falling.
        labels: `(N,)` int, index of the class.
        error: what was wrong with the file, which then has no boxes; or None.
        image: uint8 `(H, W, 3)`, where it was asked for; else None.
    """

    path: pathlib.Path
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    error: str | None = None
    image: np.ndarray | None = None

    def above(self, threshold: float) -> "Detections":
        """Those with a score of at least `threshold`."""
        count = int((self.scores >= threshold).sum())  # scores fall
        return dataclasses.replace(
            self,
            boxes=self.boxes[:count],
            scores=self.scores[:count],
            labels=self.labels[:count],
        )


@dataclasses.dataclass(frozen=True)
class Detector:
    """A model that finds boxes, and what it was trained for.

    Args:
        model: as `keras_pvt.detection.libraries.retinanet` makes them: takes images
            `(B, H, W, 3)`, RGB 0..255.
        library: that it is built of, "keras_cv" or "keras_hub".
        classes: names, in the order of the labels.
        size: (height, width) in pixels of the images that the model sees.
    """

    model: keras.Model
    library: str
    classes: list[str]
    size: tuple[int, int]

    def save(self, path: str | os.PathLike) -> None:
        """Write a .keras file that also holds the classes and the size."""
        facts = {"library": self.library, "classes": self.classes, "size": self.size}
        save_with_facts(self.model, path, FACTS, facts)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Detector":
        """Read what `save` wrote; nothing in the file is executed.

        Raises:
            OSError: the file cannot be opened.
            ValueError: it is no such file.
            ImportError: the library that the model is built of is not installed.
        """
        what = "detector that examples/train_detector.py has saved"
        keys = ("library", "classes", "size")
        model, (library, classes, size) = load_with_facts(path, FACTS, keys, what)
        if library not in LABEL_KEYS:
            raise ValueError(f"{path} wants the unknown library {library!r}.")
        float32_outputs(model)
        return cls(model, library, classes, tuple(size))

    def detect(
        self,
        paths: Iterable[str | os.PathLike],
        batch_size: int = 8,
        keep_images: bool = False,
    ) -> Iterator[Detections]:
        """Objects in image files, in their order; a file that cannot be read stops nothing.

        Args:
            paths: image files, scaled to fit the model's size.
            batch_size: images that the model gets at once. The last batch is filled up, so
                that a compiled model sees one shape only.
            keep_images: whether the detections hold the images, to draw on; up to three batches
                of them are in memory at once.
        """

        def read(path):
            """The image as the model sees it, where it lies there, and as it is if wanted."""
            image = load_image(path)
            placement = Placement.fit(image.shape[:2], self.size)
            return placement.image(image), placement, image if keep_images else None

        for files in in_batches(paths, read, batch_size):
            images = [file.image[0] for file in files if file.error is None]
            found = iter(self._predict(images, batch_size)) if images else iter(())
            for path, what, error in files:
                if error is None:
                    _, placement, image = what
                    boxes, scores, labels = next(found)
                    boxes = placement.boxes_back(boxes)
                    yield Detections(path, boxes, scores, labels, image=image)
                else:
                    yield Detections(path, np.empty((0, 4)), np.empty(0), np.empty(0, int), error)

    def _predict(self, images, batch_size):
        batch = np.zeros((batch_size, *self.size, 3), "float32")
        batch[: len(images)] = images
        # Not predict_on_batch, whose input keras-cv's decoding does not understand, nor
        # KerasHub's own predict, which needs TensorFlow or Grain.
        with without_input_warning():
            found = keras.Model.predict(self.model, batch, batch_size=batch_size, verbose=0)
        for row in range(len(images)):
            count = int(found["num_detections"][row])
            yield tuple(found[key][row, :count] for key in ("boxes", "confidence", "classes"))
