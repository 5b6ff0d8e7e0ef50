"""Exported artifacts as what can be measured: a classifier, a detector, a segmenter."""

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from keras_pvt import runtimes
from keras_pvt.classification.decoding import named_classes
from keras_pvt.classification.file_predictions import CropClassifier
from keras_pvt.detection.data.letterbox import Letterbox
from keras_pvt.detection.results import Detections
from keras_pvt.exporting.facts import Facts
from keras_pvt.exporting.names import class_names, facts_of, format_of
from keras_pvt.models.preprocessing import preprocess_input
from keras_pvt.ops import linear_weights
from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.image_files import read_in_batches
from keras_pvt.utils.images import default_resize_size, load_image
from keras_pvt.utils.quiet import quiet_libraries
from keras_pvt.utils.resizing import resized_labels_part, resized_part

MULTIPLE = 32  # of the sides that an artifact of any size is shown
EXTRAS = {"tflite": "tflite", "onnx": "onnx", "openvino": "openvino", "saved_model": "tensorflow"}


class Artifact:
    """An artifact of `keras_pvt.export`, which runs without Keras.

    Args:
        path: of the file or folder.
        classes: names, in the order of the outputs; None: those in it.
    Attributes:
        facts: how it is used.
        classes: names.
    Raises:
        ValueError: it is no such artifact, or does not say what it is; names that it has already.
        ImportError: its runtime is not installed.
    """

    any_batch = True

    def __init__(self, path: str | os.PathLike, classes: Sequence[str] | None = None):
        self.path = pathlib.Path(path)
        name = format_of(self.path)
        if name is None:
            raise ValueError(f"{path} is no artifact of keras_pvt.export.")
        with needed_for(f"running {path}", EXTRAS[name]), quiet_libraries():
            text, own = facts_of(self.path), class_names(self.path)
            self._run = runtimes.load(name, self.path)
        if text is None:
            raise ValueError(
                f"{path} does not say what it takes and gives: it was not written by this "
                "version's keras_pvt.export. Export the model again."
            )
        self.facts = Facts.of_text(text)
        if own and classes is not None:
            raise ValueError(f"{path} has names of its classes; leave out others.")
        self.classes = own or tuple(classes or ())
        self._has_run = False

    def outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Every output by its name, of any number of images.

        Args:
            images: float32 `(B, H, W, 3)`, as the artifact takes them.
        """
        images = np.ascontiguousarray(images, "float32")
        if not self._has_run:  # LiteRT tells then of its delegate
            self._has_run = True
            with quiet_libraries():
                return self.outputs(images)
        size = self.facts.shape[0]
        if size is None:
            return self._run(images)
        count, parts = len(images), []
        for start in range(0, count, size):
            part = images[start : start + size]
            full = np.concatenate([part, np.zeros((size - len(part), *part.shape[1:]), "float32")])
            parts.append(self._run(full))
        return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """The only output, of any number of images."""
        (output,) = self.outputs(images).values()
        return output

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of its images in pixels; None where any will do."""
        _, height, width, _ = self.facts.shape
        return None if height is None or width is None else (height, width)


def classifier(artifact: Artifact, size: int | None) -> CropClassifier:
    """An artifact as a classifier of crops.

    Args:
        artifact: of a classifier.
        size: side of the crop in pixels; None: its own.
    Raises:
        ValueError: no size, another than its own, or no square; it does not say whether it ends in
            logits.
    """
    facts, path = artifact.facts, artifact.path
    own = artifact.size or (size, size)
    side = own[0]
    if side is None:
        raise ValueError(f"{path} takes images of any size; --size says which side to crop to.")
    if own[1] != side or size not in (None, side):
        raise ValueError(f"{path} takes images of {own[0]}x{own[1]} pixels, not {size}.")
    if facts.logits is None:
        raise ValueError(f"{path} does not say whether it gives logits or probabilities.")
    return CropClassifier(
        artifact,
        side,
        facts.resize_size or default_resize_size(side),
        named_classes(artifact.classes),
        facts.logits,
        facts.pixels,
    )


class ArtifactDetector:
    """An artifact that gives boxes.

    Args:
        artifact: of a detector.
    Raises:
        ValueError: it takes images of any size, so that nothing says what it was trained on.
    """

    def __init__(self, artifact: Artifact):
        if artifact.size is None:
            raise ValueError(
                f"{artifact.path} takes images of any size; export it with the --size that the "
                "detector was trained on."
            )
        self._artifact, self._canvas = artifact, artifact.size
        self.classes = list(artifact.classes)

    def detect(
        self, paths: Iterable[str | os.PathLike], batch_size: int = 8
    ) -> Iterator[Detections]:
        """Objects in image files, as `keras_pvt.detection.Detector.detect` gives them.

        Args:
            paths: image files. Each is scaled to fit the canvas of the artifact.
            batch_size: images that the artifact gets at once.
        """

        antialias = self._artifact.facts.antialias

        def read(path):
            image = load_image(path)
            letterbox = dataclasses.replace(
                Letterbox.fit(image.shape[:2], self._canvas), antialias=antialias
            )
            return letterbox.image(image), letterbox

        for files in read_in_batches(paths, read, batch_size):
            seen = [file.image for file in files if file.error is None]
            found = self._artifact.outputs(np.stack([one[0] for one in seen])) if seen else {}
            row = 0
            for path, what, error, _ in files:
                if error is not None:
                    yield Detections(path, np.empty((0, 4)), np.empty(0), np.empty(0, int), error)
                    continue
                count = int(found["num_detections"][row])
                boxes = what[1].boxes_back(found["boxes"][row, :count])
                scores, labels = found["confidence"][row, :count], found["classes"][row, :count]
                masks = found["masks"][row, :count] if "masks" in found else None
                size = what[1].source
                yield Detections(path, boxes, scores, labels.astype(int), size=size, masks=masks)
                row += 1


class ArtifactSegmenter:
    """An artifact that gives the classes of pixels, or their logits.

    Args:
        artifact: of a segmenter.
    """

    def __init__(self, artifact: Artifact):
        self._artifact = artifact
        self.num_classes = len(artifact.classes)

    def labels(self, image: np.ndarray) -> np.ndarray:
        """The most probable class of each pixel.

        The image is stretched to the size that the artifact takes, or of one of any size to sides
        that are multiples of 32, as `keras_pvt.segmentation.Predictor` does it.

        Args:
            image: RGB `(H, W, 3)`, uint8.
        Returns:
            integers `(H, W)`.
        """
        size = image.shape[:2]
        height, width = self._artifact.size or (-(-side // MULTIPLE) * MULTIPLE for side in size)
        x = image.astype("float32")
        if size != (height, width):
            x = resized_part(x, (height, width), slice(0, height), slice(0, width))
        x = x if self._artifact.facts.pixels else preprocess_input(x)
        outputs = self._artifact.outputs(x[None])
        if "labels" in outputs:
            whole = slice(0, size[0]), slice(0, size[1])
            return resized_labels_part(outputs["labels"][0], size, *whole)
        logits = outputs["logits"][0]
        rows, columns = (
            linear_weights(side, cells).astype("float32")
            for side, cells in zip(size, logits.shape[:2], strict=True)
        )
        across = np.tensordot(columns, logits, (1, 1))  # (W, h, K)
        return np.stack([np.tensordot(row, across, (0, 1)).argmax(axis=-1) for row in rows])
