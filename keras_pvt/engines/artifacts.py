"""The artifacts of a model for an engine: opened, or made and compared with Keras."""

import functools
import logging
import pathlib
import time
from typing import Any

import numpy as np

from keras_pvt import default_backend, runtimes
from keras_pvt.engines import agreement, fingerprint, removal
from keras_pvt.engines.cache import Entry, locked, read_table, write_table
from keras_pvt.engines.subject import Representative, Subject
from keras_pvt.engines.table import ENGINES
from keras_pvt.formats import FORMATS
from keras_pvt.utils.quiet import quiet_libraries
from keras_pvt.utils.threads import processors

logger = logging.getLogger("keras_pvt.engines")

# Of an engine that has an artifact a size: what a process makes, and what it has open at once. A
# folder of photographs has more sizes than there is time to export.
MOST_MADE, MOST_OPEN = 4, 4

Shape = tuple[int | None, ...]


class UnusableError(RuntimeError):
    """There is no artifact for some images; says why in a line."""


class Artifacts:
    """What an engine needs to compute a model.

    Args:
        subject: the model.
        engine: name of a row of the table.
        precision: that is asked for.
        representative: images for int8.
    """

    def __init__(
        self,
        subject: Subject,
        engine: str,
        precision: str = "float32",
        representative: Representative | None = None,
    ):
        self.subject, self.engine = subject, engine
        self._asked = precision
        self._row = ENGINES[engine]
        self._representative = representative
        self._open: dict[Shape, _Opened] = {}
        self._refused: dict[Shape, UnusableError] = {}
        self._made = 0

    @functools.cached_property
    def precision(self) -> str:
        """What is computed in: float32, which is said, where the processor has no bfloat16."""
        if self._asked != "bfloat16" or runtimes.has_bfloat16():
            return self._asked
        logger.info("%s computes in float32: this processor has no bfloat16", self.engine)
        return "float32"

    def predict(self, images: np.ndarray, make: bool = True) -> Any:
        """What the model gives for images, as its `predict_on_batch`.

        Args:
            images: float32 `(B, H, W, channels)`.
            make: whether to make an artifact where there is none.
        Raises:
            UnusableError: there is no artifact for these images, and none can be made.
        """
        shape = self._shape(images.shape)
        if shape in self._refused:
            raise self._refused[shape]
        try:
            if shape not in self._open:
                opened = self._opened(shape, images, make)
                while len(self._open) >= MOST_OPEN:
                    del self._open[next(iter(self._open))]
                self._open[shape] = opened
            return self._open[shape].predict(images)
        except UnusableError as error:
            self._refused[shape] = error
            raise
        except Exception as error:  # each runtime has kinds of its own
            what = f"{self.engine} fails on images of {images.shape}: {_line(error)}"
            self._refused[shape] = UnusableError(what)
            raise self._refused[shape] from error

    def _shape(self, shape: tuple[int, ...]) -> Shape:
        """The shape of the artifact's input that takes images of a shape."""
        _, *size, channels = shape
        if self.subject.size not in (None, tuple(size)):
            raise UnusableError(f"the model takes images of {self.subject.size}, not {size}")
        if not self._row.open_size:
            return (1, *size, channels)
        return (None, *(self.subject.size or (None, None)), channels)

    def _entry(self, shape: Shape) -> Entry:
        facts = fingerprint.versions(self.engine, self.precision, default_backend.chosen())
        images = None if self._representative is None else self._representative.identity
        key = fingerprint.digest(self.engine, self.precision, shape, facts, images)
        name = "-".join((self.engine, self.precision, *(str(side or "any") for side in shape[:3])))
        suffix = FORMATS[self._row.format].suffix
        return Entry(self.subject.folder / f"{name}-{key[:16]}", f"model{suffix}")

    def _opened(self, shape: Shape, images: np.ndarray, make: bool) -> "_Opened":
        try:
            entry = self._entry(shape)
            opened = self._from_cache(entry)
            if opened is not None:
                return opened
            if not make:
                raise UnusableError("there is no artifact yet")
            if self._made >= MOST_MADE and not self._row.open_size:
                raise UnusableError(
                    f"{self.engine} has an artifact for each size, and this is one more than "
                    f"the {MOST_MADE} that are made at once"
                )
            with locked(entry.path):
                opened = self._from_cache(entry, says=True)
                return opened or self._made_once(entry, shape, images)
        except UnusableError:
            raise
        except OSError as error:
            what = f"{error.filename or entry.path}: {error.strerror or error}"
            raise UnusableError(f"the cache of engines cannot be used: {what}") from error
        except Exception as error:  # each converter and runtime has kinds of its own
            raise UnusableError(_line(error)) from error

    def _from_cache(self, entry: Entry, says: bool = False) -> "_Opened | None":
        removal.used(entry.path)  # first, so that it is not removed meanwhile
        try:
            record = entry.read()
            return None if record is None else self._load(entry, record)
        except Exception as error:  # of the record, or each runtime's own
            if says:
                logger.warning("%s; it is made again", _line(error))
            return None

    def _load(self, entry: Entry, record: dict[str, Any]) -> "_Opened":
        with quiet_libraries():
            run = runtimes.load(
                self._row.format, entry.artifact, processors(), self.precision == "bfloat16"
            )
        return _Opened(run, record, entry.path)

    def _made_once(self, entry: Entry, shape: Shape, images: np.ndarray) -> "_Opened":
        """A new artifact; where there can be none, the next process need not try."""
        reason = read_table(entry.refusal).get("reason")
        if reason is not None:
            raise UnusableError(f"{reason} (as {entry.refusal} says)")
        try:
            return self._make(entry, shape, images)
        except (UnusableError, ValueError) as error:
            write_table(entry.refusal, {"reason": _line(error)})
            raise

    def _make(self, entry: Entry, shape: Shape, images: np.ndarray) -> "_Opened":
        from keras_pvt.exporting.export import export
        from keras_pvt.exporting.subject import named

        model = self.subject.model
        reference = named(model)
        logger.info("exporting for %s, once: %s", self.engine, entry.path)
        self._made += 1
        quantize = self._row.precisions[self.precision]
        size, some = images.shape[1:3], None
        if self._representative is not None:
            some = self._representative.images((size[0], size[1]))

        def write(path: pathlib.Path) -> dict[str, Any]:
            with quiet_libraries():
                export(
                    model,
                    path,
                    self._row.format,
                    size=(shape[1], shape[2]),
                    batch_size=shape[0],
                    quantize=quantize,
                    representative=some,
                    verify=False,
                )
            record = {"batch": shape[0], "structure": _structure(model, reference)}
            opened = self._load(Entry(path.parent, path.name), record)
            found = agreement.compare(reference, opened.outputs, images, self.precision)
            if not found.passed:
                raise UnusableError(f"{self.engine} differs from Keras: {found}")
            logger.info("%s in %s, next to Keras: %s", self.engine, self.precision, found)
            return {**record, "agreement": str(found)}

        record = entry.write(write)
        removal.remove_old()
        return self._load(entry, record)


class _Opened:
    """An artifact that runs.

    Args:
        run: of `keras_pvt.runtimes`.
        record: of the artifact.
        path: of its folder.
    """

    def __init__(self, run: runtimes.Run, record: dict[str, Any], path: pathlib.Path):
        self._run, self._has_run = run, False
        self._path, self._said = path, time.monotonic()
        self._batch = record["batch"]
        self._structure = record["structure"]

    def outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Every output by its name, of any number of images."""
        if not self._has_run:  # LiteRT tells then of its delegate
            self._has_run = True
            with quiet_libraries():
                return self.outputs(images)
        if self._batch is None:
            return self._run(images)
        parts = [self._run(image[None]) for image in images]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def predict(self, images: np.ndarray) -> Any:
        """The outputs, as `predict_on_batch` of the model gives them."""
        if time.monotonic() - self._said > removal.SAYS:
            removal.used(self._path)
            self._said = time.monotonic()
        outputs = self.outputs(images)
        if isinstance(self._structure, list):
            return [outputs[name] for name in self._structure]
        return outputs if self._structure is None else outputs[self._structure]


def _structure(model: Any, reference: Any) -> Any:
    """The name of the only output, a list of names, or None of a dictionary."""
    if isinstance(model.output, dict):
        return None
    names = list(reference.output)
    return names if isinstance(model.output, list | tuple) else names[0]


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__
