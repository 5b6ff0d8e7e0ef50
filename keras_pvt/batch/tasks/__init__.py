"""What a job computes of each image: a module for each task, named as the task.

A task is a line of `BATCH_SIZES` and a module here, which has

    fields(options)         names and Arrow types of the columns of results
    Task(options, images)   loads the model; `images`: how many there are, None: not known
    Task.answers(sources, batch_size)   for each source a dictionary of the columns, or the error;
                            it is what the command of this task does
    Task.network            what computes, of which `engine` is a name; a Keras model has none
"""

import importlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from keras_pvt.batch.options import Options

if TYPE_CHECKING:
    import pyarrow as pa

# Images that a model gets at once, as the commands have it; of a segmenter always one.
BATCH_SIZES = {"classify": 32, "embed": 32, "detect": 8, "segment": 1}

Answer = tuple[dict[str, Any] | None, str | None]


class Task(Protocol):
    """A loaded model that answers; see above."""

    network: Any

    def answers(self, sources: Iterable[Any], batch_size: int) -> Iterator[Answer]:
        """The columns of each source, or its error, in order."""


def load(options: Options, images: int | None) -> Task:
    """Load the model of a task.

    Raises:
        ValueError, OSError, ImportError: the model cannot be had, or is for another task.
    """
    return _module(options).Task(options, images)


def fields(options: Options) -> list[tuple[str, "pa.DataType"]]:
    """Names and types of the columns of results."""
    return _module(options).fields(options)


def _module(options: Options) -> Any:
    return importlib.import_module(f"{__name__}.{options.task}")
