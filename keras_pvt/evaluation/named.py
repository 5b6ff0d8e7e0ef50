"""Models as a user names them: a variant, a file, a repository on a hub, an artifact."""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from keras_pvt import systems
from keras_pvt.classification.decoding import named_classes
from keras_pvt.classification.file_predictions import CropClassifier
from keras_pvt.classification.predictor import FileClassifier
from keras_pvt.detection.detector import Detector
from keras_pvt.evaluation import artifacts
from keras_pvt.exporting.names import format_of
from keras_pvt.inspection import inspect_file
from keras_pvt.segmentation.inference import Predictor
from keras_pvt.segmentation.trained import TrainedSegmenter
from keras_pvt.variants import VARIANTS


class Named(NamedTuple):
    """A model as a user names it.

    Args:
        source: its name or path.
        artifact: of an exported one; else None.
        classes: names for its classes, or None.
    """

    source: str
    artifact: artifacts.Artifact | None
    classes: str | Sequence[str] | None

    def classifier(self, weights: str | os.PathLike | None, size: int | None) -> CropClassifier:
        """What gives probabilities of crops."""
        if self.artifact is not None:
            return artifacts.classifier(self.artifact, size)
        return FileClassifier.named(self.source, weights, size, self.classes)

    def detector(self) -> tuple[Detector | artifacts.ArtifactDetector, bool]:
        """What gives boxes, and whether it may give masks."""
        if self.artifact is not None:
            self._check(self.artifact.classes)
            return artifacts.ArtifactDetector(self.artifact), True
        detector = Detector.load(self.source, _names(self.classes))
        return detector, getattr(detector.model, "masks", False)

    def segmenter(
        self, size: int | None
    ) -> tuple[Predictor | artifacts.ArtifactSegmenter, Sequence[str]]:
        """What gives classes of pixels, and their names."""
        if self.artifact is not None:
            self._check(self.artifact.classes)
            if size is not None:
                raise ValueError(
                    f"{self.source} has the size that it was exported with; leave out another."
                )
            return artifacts.ArtifactSegmenter(self.artifact), self.artifact.classes
        segmenter = TrainedSegmenter.load(self.source, _names(self.classes))
        short_side = (segmenter.size if size is None else size) or None
        return Predictor(segmenter.model, short_side=short_side), segmenter.classes

    def _check(self, names: Sequence[str]) -> None:
        if not names:
            raise ValueError(
                f"{self.source} does not name its classes: --classes names them, in a file with a "
                "name a line."
            )


def task_of(
    source: str, classes: str | Sequence[str] | None
) -> tuple[artifacts.Artifact | None, str]:
    """The artifact, if it is one, and what a model that a user names is for.

    Args:
        source: its name or path.
        classes: names for an artifact's classes, or None.
    Returns:
        The artifact, and "classification", "detection" or "segmentation".
    Raises:
        ValueError: it gives no answers.
    """
    artifact, task = None, None
    if source in VARIANTS:
        task = "classification"
    elif not source.startswith("hf://") and format_of(pathlib.Path(source)) is not None:
        names = _names(classes)
        if not os.path.exists(source):
            raise FileNotFoundError(f"there is no file or folder {source!r}.")
        artifact = artifacts.Artifact(source, names)
        task = artifact.facts.task
    else:
        found = inspect_file(source, hashed=False)
        task = found.task
        if task is None and found.system is not None:
            task = systems.named(found.system).task
    if task in (None, "features"):
        raise ValueError(f"{source} gives no answers that could be measured: a backbone, or heads.")
    return artifact, str(task)


def _names(classes: str | Sequence[str] | None) -> list[str] | None:
    return None if classes is None else [name for _, name in named_classes(classes)]
