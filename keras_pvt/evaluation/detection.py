"""Average precision of a detector, and which classes it takes for which."""

import os
import pathlib
import sys
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from keras_pvt.detection.box_drawing import draw_boxes
from keras_pvt.detection.data.coco import load_coco
from keras_pvt.detection.data.formats.choice import is_coco_file, load_folder
from keras_pvt.detection.data.samples import DetectionSet, Sample
from keras_pvt.detection.evaluation import average_precision
from keras_pvt.detection.results import Detections
from keras_pvt.evaluation.report import NOTHING, Report, Worst, shown
from keras_pvt.utils.colours import colours
from keras_pvt.utils.drawing import captioned
from keras_pvt.utils.images import load_image
from keras_pvt.utils.threads import with_bar

OVERLAP = 0.5  # intersection over union of a box that is an object's
WORST = 100  # images that a report names

Detect = Callable[[list], Iterator[Detections]]


class DetectorEvaluation:
    """Measures a detector.

    Args:
        detect: gives the detections of image files, in their order.
        data: images with their true boxes, of the classes that the detector has.
        masked: the same with outlines, to measure masks by; None: boxes only.
        threshold: smallest score of a box that counts in the matrix and for the worst images.
    """

    def __init__(
        self,
        detect: Detect,
        data: DetectionSet,
        masked: DetectionSet | None = None,
        threshold: float = 0.5,
    ):
        self._detect, self._data, self._masked = detect, data, masked
        self._threshold = threshold
        self._found: dict[str, tuple[Sample, Detections]] = {}
        self._notes: dict[str, str] = {}

    def run(self, named: str, data: str) -> Report:
        """Measure.

        Args:
            named: how the user calls the model.
            data: how the user calls the data.
        Returns:
            The report. Its numbers are those of `keras_pvt.detection.average_precision`, of boxes
            and, where there are any, of masks. In the matrix a box and an object of any classes
            are a pair where they overlap by an IoU of 0.5 or more, those of the best score first,
            and each once; the worst images have the smallest share of pairs of one class among all
            objects and boxes (F1).
        Raises:
            ValueError: no image can be read.
        """
        samples, classes = self._data.samples, tuple(self._data.classes)
        paths = [sample.path for sample in samples]
        found = list(with_bar(self._detect(paths), len(paths), "evaluating"))
        left_out = [one.error for one in found if one.error is not None]
        if len(left_out) == len(found):
            raise ValueError(f"none of {len(found)} images to evaluate on could be read.")
        numbers = average_precision(self._data, found)
        if self._masked is not None and any(one.masks is not None for one in found):
            numbers |= average_precision(self._masked, found, masks=True)
        matrix = np.zeros((len(classes) + 1, len(classes) + 1), "int64")
        worst = []
        for sample, one in zip(samples, found, strict=True):
            if one.error is not None:
                continue
            kept = one.above(self._threshold)
            truth, guesses = pairs(sample, kept)
            np.add.at(matrix, (truth, guesses), 1)  # -1 is the last row, and column
            right = int((truth == guesses).sum())
            missed, wrong = int((truth >= 0).sum()) - right, int((guesses >= 0).sum()) - right
            name = str(sample.path)
            if missed or wrong:
                share = 2 * right / max(2 * right + missed + wrong, 1)
                note = f"F1 {share:.2f}: {right} right, {missed} missed or of another class, "
                worst.append(Worst(name, 1 - share, f"{note}{wrong} wrong"))
            self._found[name] = sample, kept
        worst.sort(key=lambda one: -one.value)
        self._notes = {one.name: one.note for one in worst[:WORST]}
        return Report(
            task="detection",
            model=named,
            data=data,
            numbers=numbers,
            labels=(*classes, NOTHING),
            matrix=matrix,
            worst=worst[:WORST],
            images=len(found) - len(left_out),
            left_out=[str(error) for error in left_out],
        )

    def draw(self, name: str) -> Image.Image:
        """An image of the report twice, with its true boxes and with those that are found.

        Args:
            name: of the image.
        """
        sample, found = self._found[name]
        image = load_image(sample.path)
        classes, palette = self._data.classes, colours(self._data.classes)
        whole = Image.new("RGB", (2 * image.shape[1] + 4, image.shape[0]))
        for place, (boxes, labels) in enumerate(
            ((sample.boxes, sample.labels), (found.boxes, found.labels))
        ):
            titles = [classes[label] for label in labels]
            picture = draw_boxes(image, boxes, palette[labels], titles)
            whole.paste(picture, (place * (image.shape[1] + 4), 0))
        return captioned(whole, f"true, found. {self._notes[name]}", 640)


def pairs(sample: Sample, found: Detections) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted class of each object and of each box of an image.

    Args:
        sample: the image with its objects; crowds count neither as missed nor what lies in them as
            wrong.
        found: boxes that are to count, of falling scores.
    Returns:
        Two of `(N,)` integers; -1 stands for nothing, in place of an object or of a box.
    """
    left = list(np.flatnonzero(~sample.crowd))
    truth, guesses = [], []
    overlap = _iou(found.boxes, sample.boxes)
    for row, label in enumerate(found.labels):
        best = max(left, key=lambda column: overlap[row, column], default=None)
        if best is not None and overlap[row, best] >= OVERLAP:
            left.remove(best)
            truth.append(int(sample.labels[best]))
        elif _covered(found.boxes[row], sample.boxes[sample.crowd]):
            continue
        else:
            truth.append(-1)
        guesses.append(int(label))
    truth += [int(sample.labels[column]) for column in left]
    guesses += [-1] * len(left)
    return np.array(truth, int), np.array(guesses, int)


def _iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of xyxy boxes, `(N, M)`."""
    both = _intersection(boxes, others)
    areas = [np.prod(some[:, 2:] - some[:, :2], axis=1) for some in (boxes, others)]
    return both / np.maximum(areas[0][:, None] + areas[1] - both, 1e-9)


def _intersection(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    start = np.maximum(boxes[:, None, :2], others[None, :, :2])
    end = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.prod(np.maximum(end - start, 0), axis=-1)


def _covered(box: np.ndarray, crowds: np.ndarray) -> bool:
    """Whether half of a box or more lies in a crowd."""
    area = max(float(np.prod(box[2:] - box[:2])), 1e-9)
    return bool((_intersection(box[None], crowds) >= OVERLAP * area).any())


def open_set(
    data: str | os.PathLike,
    images: str | os.PathLike | None,
    classes: list[str],
    masks: bool,
    split: str,
    format: str = "",
) -> tuple[DetectionSet, DetectionSet | None, str]:
    """The set that a user names, by the classes of a model; what is wrong with it is said on
    stderr.

    Args:
        data: JSON in COCO's format, or a folder or file in another that is known.
        images: the folder of the images of a COCO JSON; None: its own.
        classes: of the model, in the order of its labels.
        masks: whether to read outlines too.
        split: of a folder that has several.
        format: of a folder's boxes; empty: the only one that fits.
    Returns:
        The set; the same with outlines if they are wanted and there, else None; and the split, ""
        where there are none.
    Raises:
        ValueError: no such split, or a format that is not known; images for what is no COCO JSON;
            no object of the model's classes.
        OSError: a file that cannot be read.
    """

    def opened(masks: bool) -> tuple[DetectionSet, str]:
        if format in ("", "coco") and is_coco_file(data):
            folder = pathlib.Path(data).parent if images is None else images
            return load_coco(data, folder, classes, masks), ""
        if images is not None:
            raise ValueError(f"{data} says by itself where its images are; leave out the folder.")
        if not os.path.exists(data):
            raise FileNotFoundError(
                f"there is no file or folder {os.fspath(data)!r}. A detector is measured on files; "
                "those of a set of tensorflow-datasets are in the folder of the run that was "
                "trained on it, as data/NAME-validation.json, with --images data/NAME-validation."
            )
        found = load_folder(data, classes, masks, format)
        names = (split, "test", "") if split == "val" else (split, "")
        own = next((name for name in names if name in found), None)
        if own is None:
            raise ValueError(f"{data} has no split {split!r}; it has {', '.join(found)}.")
        return found[own], own

    whole, own = opened(False)
    lines = whole.report.lines()
    left_out = any(kind.startswith("object of ") for kind in whole.report.counts)
    if left_out and not any(len(sample.boxes) for sample in whole.samples):
        said = f"{data} has no object of the model's classes, {shown(classes)}"
        raise ValueError("; ".join([said, *lines]))
    for line in lines:
        print(f"{data}: {line}", file=sys.stderr)
    outlined = opened(True)[0] if masks else None
    if outlined is not None and not any(len(sample.segmentations) for sample in outlined.samples):
        outlined = None
    return whole, outlined, own
