"""Models that a user names, for an engine.

They are told apart by their files, so that Keras is imported only where it computes, or to export.
"""

import contextlib
import dataclasses
import importlib.resources
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from keras_pvt.classification.file_predictions import CropClassifier
from keras_pvt.conversion.beside import FILES
from keras_pvt.download.cache import file_name
from keras_pvt.download.cache import folder as weights_folder
from keras_pvt.download.local import local_file
from keras_pvt.engines import cache, fingerprint, table
from keras_pvt.engines.network import Network
from keras_pvt.engines.subject import Representative, Subject
from keras_pvt.utils.files import sha256_of
from keras_pvt.variants import PRETRAINED, VARIANTS, WEIGHTS, are_none, default_name

# "auto" exports for so many images at least: it takes as long as Keras takes for hundreds.
WORTH = 32


@dataclasses.dataclass(frozen=True)
class Wish:
    """What a user wants of engines.

    Args:
        engine: its name, "keras" or "auto".
        precision: "float32", "bfloat16" or "int8".
        representative: folder of images for int8.
        images: how many there are to compute; None: not known, and many.
    Raises:
        ValueError, ImportError: see `keras_pvt.engines.table.check`.
    """

    engine: str = table.AUTO
    precision: str = "float32"
    representative: pathlib.Path | None = None
    images: int | None = None

    def __post_init__(self):
        table.check(self.engine, self.precision, self.representative is not None)

    @property
    def makes(self) -> bool:
        """Whether to export where there is no artifact."""
        few = self.images is not None and self.images < WORTH
        return not few or self.engine != table.AUTO or self.precision != "float32"

    @property
    def is_keras(self) -> bool:
        """Whether Keras computes in any case, as it does without engines."""
        if self.precision != "float32":
            return False
        if self.engine == table.AUTO:
            return not (self.makes or cache.folder().exists())
        return self.engine == table.KERAS

    def file(self, source: str | os.PathLike) -> str | None:
        """sha256 of a .keras file, which has all of its model; None: another, or no need to know.

        Args:
            source: a path, or a name on a hub.
        """
        path = pathlib.Path(source)
        if self.is_keras or path.suffix != ".keras":
            return None
        try:
            return sha256_of(path)
        except OSError:  # a folder, or who loads the model says why
            return None

    def network(self, subject: Subject, pixels: bool) -> Network:
        """What computes a model.

        Args:
            subject: the model.
            pixels: whether it takes RGB 0..255, else normalised images.
        """
        images = None
        if self.representative is not None:
            images = Representative(self.representative, pixels)
        return Network(subject, self.engine, self.precision, images, self.makes)


def classifier(
    source: str,
    weights: str | os.PathLike | None,
    size: int | None,
    classes: str | Sequence[str] | None,
    wish: Wish,
    start: Callable[[], None] = lambda: None,
) -> CropClassifier:
    """The classifier that a user names, computed by an engine.

    Args:
        source: see `keras_pvt.classification.FileClassifier.named`, as the next three.
        weights: of a variant.
        size: side of the crop.
        classes: names of the classes.
        wish: of the user's.
        start: called before Keras is imported.
    Raises:
        ValueError, OSError: see there.
    """

    def load() -> CropClassifier:
        start()
        from keras_pvt.classification.predictor import FileClassifier

        return FileClassifier.named(source, weights, size, classes)

    if wish.is_keras:
        return load()
    identity = _identity(source, weights, (size, classes))
    if identity is None:
        found = load()
        return _by(wish, found, Subject.of(found.model))
    path = cache.folder() / identity / cache.FACTS
    known = _of_facts(cache.unsealed(cache.read_table(path)))
    if known is not None:
        side = known.size, known.size
        return _by(wish, known, Subject(identity, lambda: load().model, side))
    found = load()
    if wish.makes:
        with contextlib.suppress(OSError), cache.locked(path):  # which the artifact's is said of
            cache.write_table(path, cache.sealed(_facts(found)))
    side = found.size, found.size
    return _by(wish, found, Subject(identity, lambda: found.model, side))


def _by(wish: Wish, found: CropClassifier, subject: Subject) -> CropClassifier:
    return dataclasses.replace(found, model=wish.network(subject, found.pixels))


def _facts(found: CropClassifier) -> dict[str, Any]:
    """What else than the model makes a classifier."""
    return {
        field.name: getattr(found, field.name)
        for field in dataclasses.fields(found)
        if field.name != "model"
    }


def _of_facts(facts: dict[str, Any] | None) -> CropClassifier | None:
    """The classifier without its model; None: there are no facts."""
    if facts is None:
        return None
    classes = tuple((id_, name) for id_, name in facts["classes"])
    return CropClassifier(None, **{**facts, "classes": classes})


def _identity(source: str, weights: str | os.PathLike | None, options: Any) -> str | None:
    """What tells a model from others by its files; None where they do not."""
    path = _file(source, weights)
    if path is None or not path.is_file() or path.suffix == ".json":  # a list of files
        return None
    variant = source if source in VARIANTS else None
    told = [sha256_of(file) for file in files_of(path)]
    version = fingerprint.version("keras_pvt"), fingerprint.version("keras")
    named = None if weights is None or os.path.exists(weights) else str(weights)
    return fingerprint.digest("files", path.suffix, told, variant, named, options, version)


def files_of(path: pathlib.Path) -> list[pathlib.Path]:
    """A file of weights, and what stands beside it and says what it is."""
    files = [path, *(path.with_name(name) for name in FILES)]
    return [file for file in files if file.is_file()]


def _file(source: str, weights: str | os.PathLike | None) -> pathlib.Path | None:
    """The file that a model is made of; None: none, or none yet."""
    if source not in VARIANTS:
        return local_file(source) if weights is None else None
    if weights is not None and are_none(weights):
        return None
    name = default_name(source) if weights in (None, PRETRAINED) else os.fspath(weights)
    row = WEIGHTS.get((source, name))
    if row is None:
        return local_file(name)
    if row.url is not None:
        return weights_folder() / file_name(row.url)
    data = importlib.resources.files("keras_pvt") / "data"
    return pathlib.Path(str(data)) / f"{source}_{name}.safetensors"
