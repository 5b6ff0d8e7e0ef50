"""`keras_pvt.Predictor`."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_pvt.classification.file_predictions import CropClassifier, Prediction
from keras_pvt.classification.predictor import FileClassifier
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.results import Detections
from keras_pvt.engines.named import Wish, classifier
from keras_pvt.engines.network import Network
from keras_pvt.engines.subject import Subject
from keras_pvt.engines.tasks import detector_by, segment_by
from keras_pvt.models.inputs import takes_pixels
from keras_pvt.models.trained_checkpoint import load_trained
from keras_pvt.models.trained_model import TrainedModel
from keras_pvt.segmentation.inference import Predictor as Segmenter
from keras_pvt.utils.image_files import read_in_batches
from keras_pvt.utils.images import load_image
from keras_pvt.variants import VARIANTS


@dataclasses.dataclass(frozen=True)
class Segmentation:
    """The classes of the pixels of one file.

    Args:
        path: of the file.
        labels: `(H, W)`, the number of the class of each pixel; None where the file could not be
            read.
        error: what was wrong with the file, or None.
    """

    path: pathlib.Path
    labels: np.ndarray | None
    error: str | None = None


class Predictor:
    """Predicts images with the fastest engine available; the results are those of Keras.

    On first use the model is exported to the engine's format, compared with Keras on these images,
    and cached (docs/engines.md). If an engine cannot run the model, Keras does, and the logger
    "keras_pvt" says why.

    Args:
        model: a Keras model with one image input; a `TrainedModel`; the name of a variant, with its
            published weights; or a file of a trained model or checkpoint, local or on a hub.
        engine: "litert", "onnxruntime", "openvino", "keras", or "auto", which uses the fastest of
            the installed ones, as measured once on this machine.
        precision: "float32", which differs from Keras by at most 1e-5 (relative to the largest
            output, if that is above 1); "bfloat16", which Keras replaces by float32 with JAX on a
            CPU, as that is faster there; or "int8".
        representative: a folder with about 100 typical images, to calibrate "int8".
    Raises:
        ValueError: the engine does not exist or lacks this precision; int8 without images; `model`
            is not a model.
        ImportError: the engine is not installed; says what to install.
        OSError: a file cannot be read or downloaded.
    Example:
        >>> predictor = keras_pvt.Predictor("pvt_small")
        >>> for prediction in predictor.predict(["cat.jpg", "dog.jpg"]):
        ...     print(prediction.path, prediction.scores.argmax())
    """

    def __init__(
        self,
        model: keras.Model | TrainedModel | str | os.PathLike,
        engine: str = "auto",
        *,
        precision: str = "float32",
        representative: str | os.PathLike | None = None,
    ):
        folder = None if representative is None else pathlib.Path(representative)
        self._wish = Wish(engine, precision, folder)
        self._variant: str | None = None
        self._trained: TrainedModel | None = None
        self._model: keras.Model | None = None
        self._file: str | None = None
        if isinstance(model, TrainedModel):
            self._trained = model
        elif isinstance(model, keras.Model):
            self._model = model
        elif os.fspath(model) in VARIANTS:
            self._variant = os.fspath(model)
        else:
            self._file = self._wish.file(model)
            self._trained = load_trained(model)

    def __call__(self, images: np.ndarray) -> Any:
        """What the model's `predict_on_batch` gives.

        Args:
            images: `(B, H, W, 3)`, as the model takes them: RGB 0..255, or normalised by
                `keras_pvt.preprocess_input`.
        Returns:
            NumPy arrays, alone, in a list or in a dictionary, as the model has them.
        """
        return self._own.predict_on_batch(images)

    def predict(
        self, paths: Iterable[str | os.PathLike], batch_size: int = 32
    ) -> Iterator[Prediction | Detections | Segmentation]:
        """Predict image files, in order; a file that cannot be read is reported in its result.

        Args:
            paths: image files, of any size; they are read while the engine computes, at most two
                batches ahead.
            batch_size: images in a batch; a segmenter takes one at a time.
        Yields:
            For each file a `Prediction`, `Detections` or a `Segmentation`, depending on the task.
        Raises:
            ValueError: `model` is a plain Keras model, which does not say how images are prepared:
                pass a `TrainedModel` or a file.
        """
        if self._model is not None:
            raise ValueError(
                "a plain Keras model does not say which part of an image it sees: pass what "
                "keras_pvt.load_model gives, or a file of keras_pvt.save_model."
            )
        if self._trained is None or self._trained.task == "classification":
            yield from self._classifier.predict(paths, batch_size)
        elif self._trained.task == "detection":
            yield from self._detector.detect(paths, batch_size)
        else:
            for files in read_in_batches(paths, load_image, 1):
                for path, image, error, _ in files:
                    labels = None if image is None else self._segmenter.labels(image)
                    yield Segmentation(path, labels, error)

    @functools.cached_property
    def _own(self) -> Any:
        """What computes the model alone."""
        if self._variant is not None:
            return self._classifier.model
        return self._network(self._model if self._trained is None else self._trained.model)

    @functools.cached_property
    def _classifier(self) -> CropClassifier:
        if self._variant is not None:
            return classifier(self._variant, None, None, None, self._wish)
        assert self._trained is not None
        return dataclasses.replace(FileClassifier.of(self._trained), model=self._own)

    @functools.cached_property
    def _detector(self) -> Detector:
        assert self._trained is not None
        return detector_by(Detector.of(self._trained), self._wish, self._file)

    @functools.cached_property
    def _segmenter(self) -> Segmenter:
        assert self._trained is not None
        size = self._trained.size
        found = Segmenter(self._trained.model, short_side=None if size is None else min(size))
        segment_by(found, self._wish, self._file)
        return found

    def _network(self, model: Any) -> Network:
        return self._wish.network(Subject.of(model, self._file), takes_pixels(model))
