"""Libraries that only some uses need: what to install where one is missing."""

import contextlib
import importlib.util
import os
from collections.abc import Iterator

# Libraries that a model may have layers of, which importing them registers, and the extras that
# bring them. A file does not decide what else is imported.
LIBRARIES = {"keras_cv": ("keras_cv", "tensorflow"), "keras_hub": ("keras_hub",)}

BRING_TENSORFLOW = {"tensorflow", "tensorflow-cpu", "keras_hub"}  # among the extras


def install_command(*extras: str) -> str:
    """How to install extras of this package, which pyproject.toml lists.

    Args:
        extras: such as "onnx".
    Returns:
        The command for pip, quoted for every shell. "tensorflow" is left out where TensorFlow is
        there: it is two packages of pip, with and without GPUs, and each would overwrite the files
        of the other. Where it is not, a new one would be the backend, which is said.
    """
    new = importlib.util.find_spec("tensorflow") is None
    names = [name for name in extras if name != "tensorflow" or new]
    notes = []
    if "tensorflow" in names:
        notes.append("or tensorflow-cpu in place of tensorflow: smaller, without GPUs")
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    if new and backend != "tensorflow" and not BRING_TENSORFLOW.isdisjoint(names):
        notes.append(f"TensorFlow then is the backend, unless KERAS_BACKEND={backend} is set")
    command = f'pip install "keras-pvt[{",".join(names)}]"'
    return f"{command} ({'; '.join(notes)})" if notes else command


@contextlib.contextmanager
def needed_for(use: str, *extras: str) -> Iterator[None]:
    """Import libraries in this context, and an ImportError says what to install.

    Args:
        use: what needs them, such as "drawing".
        extras: that bring them.
    Raises:
        ImportError: a library is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or str(error)).split(".")[0]
        raise ImportError(f"{use} needs {library}: {install_command(*extras)}") from error
