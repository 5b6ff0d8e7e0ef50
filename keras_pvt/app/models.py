"""Predictions of a model, named by the user, as the page shows them. Gradio is not needed."""

import dataclasses
import functools
import os
import pathlib
import tempfile
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from keras_pvt.classification.decoding import class_titles, named_classes
from keras_pvt.detection.box_drawing import draw_boxes
from keras_pvt.detection.results import Detections
from keras_pvt.evaluation.named import Named, task_of
from keras_pvt.exporting.export import export
from keras_pvt.exporting.sources import load, resize_size
from keras_pvt.formats import FORMATS, choose_writer
from keras_pvt.ops import BACKEND
from keras_pvt.segmentation.drawing import draw_labels, shares
from keras_pvt.utils.colours import colours
from keras_pvt.utils.images import ImageError, image_size, load_image
from keras_pvt.utils.quiet import quiet_libraries
from keras_pvt.variants import VARIANTS

MAX_PIXELS = 50_000_000  # of an image: in float32 it is 600 MB
TOP = 5  # classes of an image
WIDEST = 2048  # pixels of a picture's longer side, which is sent to the browser
# Images whose answer is kept, for another threshold or class.
KEPT = 4


class Answer(NamedTuple):
    """The predictions of a model for an image.

    Args:
        rows: of `ShownModel.columns`, the best first.
        picture: the image with the detections, or the crop that a classifier got.
        note: a further remark, in one line; or "".
    """

    rows: list[tuple[Any, ...]]
    picture: Image.Image
    note: str = ""


class ShownModel:
    """A model for one task; `open_model` opens one by name.

    Args:
        named: the model as a user names it.
    Attributes:
        source: its name or path.
        title: its name, short.
        classes: names of its classes, in the order of the outputs.
        columns: titles of the columns of an answer's rows.
        scored: whether a threshold applies to it.
    """

    columns: tuple[str, ...]
    scored = True

    def __init__(self, named: Named, classes: Sequence[str]):
        self.source, self.classes = named.source, tuple(classes)
        self.title = pathlib.Path(named.source).name
        self.is_keras = named.artifact is None
        self._given = named.classes
        self._kept = functools.lru_cache(KEPT)(self._find)

    def answer(
        self, path: str | os.PathLike, threshold: float = 0.0, chosen: Collection[str] = ()
    ) -> Answer:
        """Predict an image file; the result is cached.

        Args:
            path: of the file.
            threshold: smallest probability of a class or score of a box, 0 to 1; not used for the
                classes of pixels.
            chosen: names of the classes to show; empty: all.
        Returns:
            The answer.
        Raises:
            ImageError: it is no image, or has more than `MAX_PIXELS` pixels; the message has the
                name of the file without its folder.
            OSError: the file cannot be opened.
        """
        file = pathlib.Path(path)
        check_pixels(file)
        numbers = [n for n, name in enumerate(self.classes) if not chosen or name in chosen]
        return self._shown(self._found(file), threshold, numbers)

    def attention(self, path: str | os.PathLike) -> tuple[Image.Image, str]:
        """Draw the attention of a classifier; the picture is cached.

        Args:
            path: of the image file.
        Returns:
            The picture, and a remark on it, or "".
        Raises:
            ImageError, OSError: see `answer`.
            ValueError: the model is no classifier of Keras.
            ImportError: matplotlib is not installed.
        """
        raise ValueError(f"{self.title} has no attention maps: they are of classifiers in Keras.")

    def export(self, format: str, folder: pathlib.Path) -> list[pathlib.Path]:
        """Export the model, if the folder does not have it yet.

        Args:
            format: one of `export_formats`.
            folder: for the files.
        Returns:
            The files, the one that others go with first.
        Raises:
            ValueError, ImportError, OSError: see `keras_pvt.export`; an artifact, which is one
                already.
        """
        if not self.is_keras:
            raise ValueError(f"{self.title} is exported already.")
        if format not in export_formats():
            raise ValueError(f"{format!r} cannot be written here; {export_formats()} can.")
        suffix = FORMATS[format].suffix
        path = folder / (self.title.split(".")[0] + suffix)
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            with quiet_libraries():
                model, size, names = load(self.source)
                given = None if self._given is None else self.classes
                export(
                    model,
                    path,
                    format,
                    size=size,
                    classes=names or given,
                    resize_size=resize_size(self.source, None),
                )
        beside = FORMATS[format].beside
        return [path, path.with_suffix(beside)] if beside else [path]

    def _found(self, file: pathlib.Path) -> Any:
        try:
            return self._kept(file, file.stat().st_mtime_ns)
        except ImageError as error:
            raise _without_folder(error, file) from error

    def _find(self, file: pathlib.Path, changed: int) -> Any:
        """All that the model says of a file, whatever is shown of it."""
        raise NotImplementedError

    def _shown(self, found: Any, threshold: float, numbers: Sequence[int]) -> Answer:
        raise NotImplementedError


class _Classifier(ShownModel):
    columns = ("class", "probability")

    def __init__(self, named: Named):
        self._model = named.classifier(None, None)
        if not self._model.classes:
            raise ValueError(
                f"{named.source} does not name its classes: --classes names them (imagenet, "
                "cifar10, or a file with a name a line)."
            )
        super().__init__(named, class_titles(self._model.classes))
        self._kept_attention = functools.lru_cache(KEPT)(self._draw)

    @functools.cached_property
    def _attentive(self):
        from keras_pvt.classification.attention_drawing import attentive_classifier

        return attentive_classifier(self.source, classes=self._given)[0]

    def attention(self, path: str | os.PathLike) -> tuple[Image.Image, str]:
        if not self.is_keras:
            return super().attention(path)
        file = pathlib.Path(path)
        check_pixels(file)
        return self._kept_attention(file, file.stat().st_mtime_ns)

    def _draw(self, file, changed):
        from keras_pvt.classification import attention_drawing

        crop = self._attentive.crop(file)
        rows = attention_drawing.attention_rows(self._attentive, crop)
        title = f"{self.title}: {attention_drawing.query_title(self._attentive, file.name)}"
        with tempfile.TemporaryDirectory() as folder:
            attention_drawing.draw_attention(crop, rows, f"{folder}/attention.png", title)
            picture = Image.fromarray(load_image(f"{folder}/attention.png"))
        if self._attentive.size == self._model.size:
            return picture, ""
        return picture, (
            f"attention is drawn at {self._attentive.size} pixels, classes are those at "
            f"{self._model.size}"
        )

    def _find(self, file, changed):
        crop = self._model.crop(file)
        return crop, self._model.scores([crop], 1)[0]

    def _shown(self, found, threshold, numbers):
        crop, scores = found
        ranked = sorted(numbers, key=lambda n: -scores[n])
        rows = [(self.classes[n], float(scores[n])) for n in ranked if scores[n] >= threshold]
        note = ""
        if not rows and ranked:
            note = _nothing(threshold, f"{self.classes[ranked[0]]}, {scores[ranked[0]]:.4f}")
        return Answer(rows[:TOP], Image.fromarray(crop), note)


class _Detector(ShownModel):
    columns = ("class", "score", "left", "top", "right", "bottom")

    def __init__(self, named: Named):
        self._model, _ = named.detector()
        super().__init__(named, self._model.classes)

    def _find(self, file, changed):
        image = load_image(file)
        (found,) = self._model.detect([file], 1)
        return image, found

    def _shown(self, found, threshold, numbers):
        image, found = found
        candidates = _only(found, np.isin(found.labels, numbers))
        shown = candidates.above(threshold)
        names = [self.classes[n] for n in shown.labels]
        texts = [f"{name} {score:.0%}" for name, score in zip(names, shown.scores, strict=True)]
        masks = [] if shown.masks is None else [shown.mask(n) for n in range(len(names))]
        fills = colours(self.classes)[shown.labels.astype(int)]
        picture = draw_boxes(image, shown.boxes, fills, texts, masks)
        scores, boxes = shown.scores.tolist(), shown.boxes.round().astype(int).tolist()
        rows = [(*row[:2], *row[2]) for row in zip(names, scores, boxes, strict=True)]
        note = ""
        if not rows:
            best = max(candidates.scores.tolist(), default=None)
            note = _nothing(threshold, "no box" if best is None else f"{best:.4f}")
        return Answer(rows, _bounded(picture), note)


class _Segmenter(ShownModel):
    columns = ("class", "share of pixels")
    scored = False

    def __init__(self, named: Named):
        self._model, classes = named.segmenter(None)
        super().__init__(named, classes)

    def _find(self, file, changed):
        image = load_image(file)
        return image, self._model.labels(image)

    def _shown(self, found, threshold, numbers):
        image, labels = found
        if len(numbers) < len(self.classes):
            labels = np.where(np.isin(labels, numbers), labels, len(self.classes))
        counted = shares(labels, self.classes)
        rows = [(self.classes[n], share) for n, share in counted.items()]
        note = "" if rows else "no pixel is of these classes"
        return Answer(rows, _bounded(draw_labels(image, labels, self.classes)), note)


_KINDS: dict[str, Callable[[Named], ShownModel]] = {
    "classification": _Classifier,
    "detection": _Detector,
    "segmentation": _Segmenter,
}


def open_model(source: str, classes: str | Sequence[str] | None = None) -> ShownModel:
    """Open a model by name.

    Args:
        source: a variant; a .keras file, a checkpoint or hf://OWNER/NAME; or an artifact of
            `keras_pvt.export`.
        classes: class names for a model that stores none; for a classifier also "imagenet" or
            "cifar10". A variant has its own.
    Returns:
        The model.
    Raises:
        ValueError: it gives no answers, or names no classes.
        OSError: a file that cannot be read.
        ImportError: a library is not installed; says what to install.
    """
    classes = None if source in VARIANTS else classes
    if classes is not None:
        classes = classes if isinstance(classes, str) else [n for _, n in named_classes(classes)]
    artifact, task = task_of(source, classes)
    return _KINDS[task](Named(source, artifact, classes))


@functools.cache
def export_formats() -> tuple[str, ...]:
    """The formats of one or two files that can be written and run with what is installed."""
    found = []
    for name, format in FORMATS.items():
        try:
            choose_writer(name, None, None, True, BACKEND)
        except ImportError:
            continue
        if format.suffix:  # a browser cannot be given a folder
            found.append(name)
    return tuple(found)


def check_pixels(file: pathlib.Path) -> None:
    """Raise an `ImageError` for a file with more than `MAX_PIXELS`, or that is no image.

    The header tells, so that nothing large is decoded.
    """
    try:
        height, width = image_size(file)
    except ImageError as error:
        raise _without_folder(error, file) from error
    if height * width > MAX_PIXELS:
        raise ImageError(
            f"{file.name} has {width} x {height} pixels; {MAX_PIXELS / 1e6:.0f} million are the "
            "most that this page takes. Make it smaller."
        )


def _without_folder(error: ImageError, file: pathlib.Path) -> ImageError:
    """The folder is one that the page made, which says nothing to its user."""
    return ImageError(str(error).replace(os.fspath(file), file.name))


def _only(found: Detections, kept: np.ndarray) -> Detections:
    """Some of the detections, by bool `(N,)`."""
    return dataclasses.replace(
        found,
        boxes=found.boxes[kept],
        scores=found.scores[kept],
        labels=found.labels[kept],
        masks=None if found.masks is None else found.masks[kept],
    )


def _nothing(threshold: float, best: str) -> str:
    return f"nothing above {threshold:g}; the best is {best}"


def _bounded(picture: Image.Image) -> Image.Image:
    """A picture that a screen can show."""
    picture.thumbnail((WIDEST, WIDEST))
    return picture
