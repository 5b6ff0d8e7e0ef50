"""The engines that there are: a row each. Standard library only, as the help reads it."""

import dataclasses
import importlib.util
from collections.abc import Mapping

from keras_pvt.formats import EXTRAS, FORMATS
from keras_pvt.utils.extras import install_command

AUTO, KERAS = "auto", "keras"
PRECISIONS = ("float32", "bfloat16", "int8")


@dataclasses.dataclass(frozen=True)
class Engine:
    """An engine. To add one: a row here, and its format in `keras_pvt.formats`.

    Args:
        format: of its artifacts, whose row says what writes and what runs them.
        precisions: that it computes in, each with the `quantize` of the export.
        open_size: whether one artifact takes images of any size and number as fast as of one.
            Where it does not, there is an artifact a size, of one image.
    """

    format: str
    precisions: Mapping[str, str | None]
    open_size: bool

    @property
    def package(self) -> str:
        """The package that runs it."""
        return FORMATS[self.format].runtime

    @property
    def extra(self) -> str:
        """The extra that installs it."""
        return EXTRAS[self.package]

    @property
    def is_installed(self) -> bool:
        """Whether its package is there."""
        return importlib.util.find_spec(self.package) is not None


ENGINES = {
    "litert": Engine("tflite", {"float32": None, "int8": "int8"}, open_size=False),
    "onnxruntime": Engine("onnx", {"float32": None}, open_size=True),
    "openvino": Engine("openvino", {"float32": None, "bfloat16": None}, open_size=True),
}
NAMES = (AUTO, KERAS, *ENGINES)


def having(precision: str) -> list[str]:
    """The engines that compute in a precision."""
    return [name for name, engine in ENGINES.items() if precision in engine.precisions]


def installed(precision: str) -> list[str]:
    """Those of them that are installed."""
    return [name for name in having(precision) if ENGINES[name].is_installed]


def check(engine: str, precision: str, images: bool) -> None:
    """What can be said of a wish before there is a model.

    Args:
        engine: its name, or "auto" or "keras".
        precision: of the computation.
        images: whether there are representative images.
    Raises:
        ValueError: no such engine or precision; an engine that does not compute in it; int8
            without images, or images without int8.
        ImportError: an engine that is not installed; says what to install.
    """
    if engine not in NAMES:
        raise ValueError(f"no engine {engine!r}; there are {', '.join(NAMES)}.")
    if precision not in PRECISIONS:
        raise ValueError(f"no precision {precision!r}; there are {', '.join(PRECISIONS)}.")
    others = [KERAS, *having(precision)] if precision != "int8" else having(precision)
    if engine not in (AUTO, *others):
        raise ValueError(f"engine {engine!r} has no {precision}; it is of {', '.join(others)}.")
    if precision == "int8" and not images:
        raise ValueError(
            "int8 learns the range of its numbers from `representative` images (--representative "
            "FOLDER), about 100 of what the model will see."
        )
    if images and precision != "int8":
        raise ValueError("representative images are for int8; leave them out, or pass precision.")
    if engine in ENGINES:
        wanted = [] if ENGINES[engine].is_installed else [engine]
    else:
        wanted = having(precision) if precision == "int8" and not installed(precision) else []
    if wanted:
        raise ImportError(
            f"engine {wanted[0]!r} is not installed: {install_command(ENGINES[wanted[0]].extra)}"
        )


def hint(precision: str) -> str:
    """How to install what computes faster than Keras on a CPU."""
    first = ENGINES[having(precision)[0]]
    writer = next(iter(FORMATS[first.format].writers))
    return f"an engine is faster than Keras on a CPU: {install_command(first.extra, writer)}"
