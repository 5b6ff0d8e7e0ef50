"""Accuracy and calibration of a classifier."""

import concurrent.futures
import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_pvt.classification.decoding import class_titles
from keras_pvt.classification.file_predictions import CropClassifier
from keras_pvt.evaluation.report import Report, Worst, plain, unknown_classes
from keras_pvt.training.data.images import Images
from keras_pvt.utils.drawing import captioned
from keras_pvt.utils.images import eval_transform
from keras_pvt.utils.threads import prefetched, processors, with_bar

BINS = 15  # of confidence, as in Guo et al., arXiv 1706.04599
LEAST = 1e-12  # probability in the loss
WORST = 100  # images that a report names


@dataclasses.dataclass(frozen=True)
class _Answers:
    """What a classifier says of each image.

    Args:
        names: of the images.
        truth: `(N,)`, by the classes of the model.
        scores: `(N, K)`.
    """

    names: list[str]
    truth: np.ndarray
    scores: np.ndarray


class ClassifierEvaluation:
    """Measures a classifier.

    Args:
        model: with the names of its classes.
        images: labelled ones; their classes are the model's, or some of them.
        batch_size: images at once.
    Raises:
        ValueError: classes that the model does not have.
    """

    def __init__(self, model: CropClassifier, images: Images, batch_size: int):
        self._model, self._images, self._batch_size = model, images, batch_size
        self._labels = _matched(images.classes, model.classes)
        self._numbers: dict[str, int] = {}
        self._notes: dict[str, str] = {}

    def run(self, named: str, data: str) -> Report:
        """Measure.

        Args:
            named: how the user calls the model.
            data: how the user calls the data.
        Returns:
            The report. Its numbers are "top1", "top5" (of more than 5 classes), "mean_class"
            (the mean of the accuracy of each class that there is), "log_loss" (of the true class,
            natural logarithm) and "calibration_error": of 15 ranges of confidence, the mean
            difference between confidence and accuracy.
        Raises:
            ValueError: no image can be read.
        Source:
            The expected calibration error of Guo et al., arXiv 1706.04599.
        """
        answers, left_out = self._answers()
        truth, scores = answers.truth, answers.scores
        rows = np.arange(len(truth))
        right_score = scores[rows, truth]
        # Of equal scores the first class is the answer, as argmax takes it.
        before = np.arange(scores.shape[1]) < truth[:, None]
        above = (scores > right_score[:, None]) | ((scores == right_score[:, None]) & before)
        rank = above.sum(axis=1)
        predicted, confidence = scores.argmax(axis=1), scores.max(axis=1)
        classes = np.unique(truth)
        by_class = [float((rank[truth == one] == 0).mean()) for one in classes]
        losses = -np.log(np.maximum(right_score, LEAST))
        curve = _curve(confidence, predicted == truth)
        gaps = [count * abs(sure - right) for count, sure, right in curve]
        numbers = {"top1": float((rank == 0).mean())}
        if scores.shape[1] > 5:
            numbers["top5"] = float((rank < 5).mean())
        numbers |= {
            "mean_class": float(np.mean(by_class)),
            "log_loss": float(losses.mean()),
            "calibration_error": sum(gaps) / len(truth),
        }
        titles = class_titles(self._model.classes)
        matrix = np.zeros((len(titles), len(titles)), "int64")
        np.add.at(matrix, (truth, predicted), 1)
        wrong = [n for n in np.argsort(-losses, kind="stable") if rank[n]][:WORST]
        worst = [
            Worst(
                answers.names[n],
                float(losses[n]),
                f"{titles[truth[n]]}, not {titles[predicted[n]]} ({confidence[n]:.0%})",
            )
            for n in wrong
        ]
        self._notes = {one.name: one.note for one in worst}
        return Report(
            task="classification",
            model=named,
            data=data,
            numbers=numbers,
            labels=titles,
            matrix=matrix,
            worst=worst,
            images=len(truth),
            left_out=left_out,
            curve=curve,
        )

    def draw(self, name: str) -> Image.Image:
        """What the model sees of an image of the report, with what is wrong.

        Args:
            name: of the image.
        """
        return captioned(self._crop(self._numbers[name]), self._notes[name])

    def _crop(self, number: int) -> np.ndarray:
        model = self._model
        return eval_transform(self._images.read(number), model.size, model.resize_size)

    def _answers(self) -> tuple[_Answers, list[str]]:
        model, size = self._model, self._batch_size
        names: list[str] = []
        truth: list[int] = []
        scores: list[np.ndarray] = []
        left_out: list[str] = []
        waiting: list[np.ndarray] = []

        def read(number):
            try:
                return number, self._crop(number), self._images.label(number)
            except (OSError, ValueError) as error:
                return number, None, f"{self._images.name(number)}: {error}"

        with concurrent.futures.ThreadPoolExecutor(processors()) as pool:
            ahead = prefetched(pool, read, range(len(self._images)), 2 * size)
            for number, crop, label in with_bar(ahead, len(self._images), "evaluating"):
                if crop is None:
                    left_out.append(label)
                    continue
                names.append(self._images.name(number))
                self._numbers[names[-1]] = number
                truth.append(self._labels[label])
                waiting.append(crop)
                if len(waiting) == size:
                    scores.append(model.scores(waiting, size))
                    waiting = []
        if waiting:
            scores.append(model.scores(waiting, size))
        if not names:
            raise ValueError(f"none of {len(self._images)} images to evaluate on could be read.")
        return _Answers(names, np.array(truth), np.concatenate(scores)), left_out


def _matched(found: Sequence[str], own: Sequence[tuple[str, str]]) -> list[int]:
    """The number that the model has for each class of the data.

    Raises:
        ValueError: classes that the model does not have, or a model without names.
    """
    if not own:
        raise ValueError(
            "the model does not name its classes; --classes names them: imagenet, cifar10, or a "
            "file with a name a line."
        )
    for spelt in (
        {id_: n for n, (id_, _) in enumerate(own)},
        {title: n for n, title in enumerate(class_titles(own))},
        {plain(name): n for n, (_, name) in enumerate(own)},
    ):
        keys = [name if name in spelt else plain(name) for name in found]
        if all(key in spelt for key in keys):
            return [spelt[key] for key in keys]
    titles = {plain(name) for _, name in own} | {id_ for id_, _ in own}
    unknown = [name for name in found if plain(name) not in titles and name not in titles]
    raise unknown_classes(unknown, [name for _, name in own])


def _curve(confidence: np.ndarray, right: np.ndarray) -> list[tuple[int, float, float]]:
    """Images, mean confidence and accuracy of each range of confidence."""
    which = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    return [
        (
            int((which == n).sum()),
            float(confidence[which == n].mean()) if (which == n).any() else 0.0,
            float(right[which == n].mean()) if (which == n).any() else 0.0,
        )
        for n in range(BINS)
    ]
