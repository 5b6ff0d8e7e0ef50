"""The whole state of a training run as one file."""

import contextlib
import json
import pathlib
import re
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from keras_pvt.utils.files import replacing

SHORT = "the disk may be full; the checkpoints before are whole"


def save_state(path: pathlib.Path, model: keras.Model, optimizer, metadata: dict) -> None:
    """Write the variables of a model and its optimiser to one file, in one step.

    Args:
        path: of the `.safetensors` file; what has this name is replaced once the new one is whole.
        model: weights and the states of its random generators.
        optimizer: built; or None.
        metadata: values that JSON takes, such as {"epoch": 7}.
    Raises:
        OSError: the file cannot be written; nothing has changed then.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    arrays = {name: ops.convert_to_numpy(v) for name, v in _named(model, optimizer).items()}
    arrays = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(path) as temporary:
            save_file(arrays, temporary, {"keras_pvt": json.dumps(metadata)})
    except (OSError, SafetensorError) as error:
        raise OSError(f"{path} cannot be written ({error}): {SHORT}.") from error


def load_state(path: pathlib.Path, model: keras.Model, optimizer=None) -> dict:
    """Put what `save_state` wrote back; nothing changes if it does not fit.

    Args:
        path: of the file.
        model: of the same architecture.
        optimizer: built for the model; None leaves its state out.
    Returns:
        The metadata.
    Raises:
        ValueError: the file is damaged, or is of another model or optimiser; it says how.
    """
    variables = _named(model, optimizer)
    with _opened(path) as file:
        names = [n for n in file.keys() if optimizer is not None or n.startswith("model/")]  # noqa: SIM118, no mapping
        arrays = {name: file.get_tensor(name) for name in names}
        metadata = json.loads(file.metadata()["keras_pvt"])
    _compare(path, arrays, variables)
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return metadata


def metadata_of(path: pathlib.Path) -> dict:
    """The metadata that `save_state` wrote; no variable is read.

    Args:
        path: of the file.
    Raises:
        ValueError: the file is damaged.
    """
    with _opened(path) as file:
        return json.loads(file.metadata()["keras_pvt"])


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is no whole checkpoint of a training run: {error}.") from error


def _named(model: keras.Model, optimizer) -> dict[str, keras.Variable]:
    """Variables by a name that does not depend on what the process built before."""
    groups = {"model": model.variables, "optimizer": optimizer.variables if optimizer else []}
    return {
        f"{group}/{number:04}/{_stable(group, variable.path)}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


def _stable(group: str, path: str) -> str:
    """A path without what counts layers, optimizers and random generators of the process."""
    path = path.split("/", 1)[-1] if group == "optimizer" else path
    return re.sub(r"_\d+(?=[/_]|$)", "", path)


def _compare(path: pathlib.Path, arrays: dict, variables: dict) -> None:
    for name, variable in variables.items():
        shape = tuple(variable.shape)
        if name not in arrays:
            raise ValueError(
                f"{path} is of another model or optimiser: it has no {name}. Start in another "
                "folder, or with the options of the first run."
            )
        if arrays[name].shape != shape:
            raise ValueError(
                f"{path} is of another model: {name} has shape {arrays[name].shape} there and "
                f"{shape} here. Start in another folder, or with the options of the first run."
            )
    if extra := [name for name in arrays if name not in variables]:
        raise ValueError(
            f"{path} is of another model or optimiser: it has {extra[0]} and {len(extra) - 1} more "
            "that are not here. Start in another folder, or with the options of the first run."
        )
