"""Predictions for image files: threads decode the next images while the model runs."""

import collections
import concurrent.futures
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np

from keras_pvt.conversion import load_checkpoint
from keras_pvt.images import ImageError, default_resize_size, eval_transform
from keras_pvt.models.classifier import classifier
from keras_pvt.variants import VARIANTS, WEIGHTS
from keras_pvt.weights import find

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


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
        named = [name for owner, name in WEIGHTS if owner == variant]
        if weights is None:
            if not named:
                raise ValueError(f"{variant} has no named weights; give a checkpoint file.")
            weights = named[0]
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
        waiting: list[tuple[pathlib.Path, np.ndarray | None, str | None]] = []
        read = 0
        with concurrent.futures.ThreadPoolExecutor(_processors()) as pool:
            for item in _ahead(pool, self._read, map(pathlib.Path, paths), 2 * batch_size):
                waiting.append(item)
                read += item[1] is not None
                if read == batch_size:
                    yield from self._batch(waiting, batch_size)
                    waiting, read = [], 0
        yield from self._batch(waiting, batch_size)

    def _read(self, path):
        try:
            return path, self.crop(path), None
        except ImageError as error:
            return path, None, str(error)
        except OSError as error:
            return path, None, f"{path} cannot be opened: {error.strerror or error}"

    def _batch(self, items, batch_size):
        crops = [crop for _, crop, _ in items if crop is not None]
        scores = iter(())
        if crops:
            batch = np.zeros((batch_size, self.size, self.size, 3), "uint8")
            batch[: len(crops)] = crops
            scores = iter(self.model.predict_on_batch(batch))
        for path, crop, error in items:
            yield Prediction(path, None if crop is None else next(scores), error)


def image_files(sources: Iterable[str | os.PathLike]) -> list[pathlib.Path]:
    """The files that are named, and the images in folders that are, by name.

    Args:
        sources: files, and folders, whose sub-folders are left out.
    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: a folder without an image.
    """
    files: list[pathlib.Path] = []
    for source in map(pathlib.Path, sources):
        if not source.is_dir():
            if not source.exists():
                raise FileNotFoundError(f"there is no file or folder {os.fspath(source)!r}.")
            files.append(source)
            continue
        found = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES)
        if not found:
            raise ValueError(f"folder {os.fspath(source)!r} has no image ({', '.join(SUFFIXES)}).")
        files += found
    return files


def _ahead(
    pool: concurrent.futures.Executor, function: Callable, items: Iterable, count: int
) -> Iterator:
    """`map` in threads, with at most `count` results made ahead."""
    results: collections.deque[concurrent.futures.Future] = collections.deque()
    for item in items:
        results.append(pool.submit(function, item))
        if len(results) > count:
            yield results.popleft().result()
    while results:
        yield results.popleft().result()


def _processors() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Windows and macOS
        return os.cpu_count() or 1
