"""What a run keeps, to go on after it was stopped at any moment."""

import json
import math
import pathlib
import re
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_pvt.conversion.files import replacing

BEST = "best.safetensors"
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
    from safetensors import SafetensorError, safe_open

    variables = _named(model, optimizer)
    try:
        with safe_open(path, framework="numpy") as file:
            names = [n for n in file.keys() if optimizer is not None or n.startswith("model/")]  # noqa: SIM118, no mapping
            arrays = {name: file.get_tensor(name) for name in names}
            metadata = json.loads(file.metadata()["keras_pvt"])
    except (SafetensorError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is no whole checkpoint of a training run: {error}.") from error
    _compare(path, arrays, variables)
    for name, variable in variables.items():
        variable.assign(arrays[name])
    return metadata


def _named(model: keras.Model, optimizer) -> dict[str, keras.Variable]:
    """Variables by a name that does not depend on what the process built before."""
    groups = {"model": model.variables, "optimizer": optimizer.variables if optimizer else []}
    return {
        f"{group}/{number:04}/{_stable(group, variable.path)}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


def _stable(group: str, path: str) -> str:
    """A path without what counts the optimizers and random generators of the process."""
    if group == "optimizer":
        return path.split("/", 1)[-1]
    return re.sub(r"^seed_generator_\d+/", "seed_generator/", path)


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


class Checkpoints(keras.callbacks.Callback):
    """Keeps the last epochs and the best one; `restore` goes on from the last.

    Put it after callbacks that may refuse an epoch, and after those that log it.

    Args:
        folder: for the files, `epoch-0007.safetensors` and `best.safetensors`.
        model: whose variables are kept: under a wrapper, the wrapped one.
        keep: how many of the last epochs.
        monitor: value of the log that the best epoch has most of; None keeps no best one.
        writes: False for processes that only restore.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        model: keras.Model,
        keep: int = 2,
        monitor: str | None = "val_accuracy",
        writes: bool = True,
    ):
        super().__init__()
        self.folder, self.kept, self.keep = folder, model, keep
        self.monitor, self.writes = monitor, writes
        self.best = -math.inf

    def files(self) -> list[pathlib.Path]:
        """Checkpoints of epochs, the last one last."""
        return sorted(self.folder.glob("epoch-*.safetensors"))

    def restore(self, optimizer: keras.optimizers.Optimizer) -> int:
        """Take up the last checkpoint, where there is one.

        Args:
            optimizer: which is built here if it is not.
        Returns:
            Whole epochs done.
        Raises:
            ValueError: the checkpoint does not fit.
        """
        if self.writes and self.folder.is_dir():
            for leftover in self.folder.glob(".*-*.safetensors"):  # of a run that was killed
                leftover.unlink()
        if not optimizer.built:
            optimizer.build(self.kept.trainable_variables)
        files = self.files()
        if not files:
            return 0
        metadata = load_state(files[-1], self.kept, optimizer)
        self.best = metadata["best"]
        return metadata["epoch"]

    def on_epoch_end(self, epoch, logs=None):
        value = logs.get(self.monitor, -math.inf)
        improved, self.best = value > self.best, max(value, self.best)
        if not self.writes:
            return
        metadata = {"epoch": epoch + 1, "best": self.best}
        path = self.folder / f"epoch-{epoch + 1:04}.safetensors"
        if improved:  # first, so that a kill in between makes this epoch run again
            save_state(self.folder / BEST, self.kept, self.model.optimizer, metadata)
        save_state(path, self.kept, self.model.optimizer, metadata)
        for old in self.files()[: -self.keep]:
            old.unlink()


def cut_log(history: pathlib.Path, epochs: int) -> None:
    """Leave only so many epochs in a log: those after were logged, but not kept."""
    if history.exists():
        lines = history.read_text().splitlines(keepends=True)
        with replacing(history) as temporary:
            temporary.write_text("".join(lines[: epochs + 1] if epochs else []))


def epochs_done(backup: pathlib.Path, history: pathlib.Path) -> int:
    """Whole epochs that `keras.callbacks.BackupAndRestore` has kept in a folder.

    What the log has beyond them, from an epoch that ended but was not kept, is cut off.
    """
    state = backup / "training_metadata.json"
    done = json.loads(state.read_text())["epoch"] if state.exists() else 0
    cut_log(history, done)
    return done


def losses_of(rows: Sequence[dict[str, float]]) -> list[float]:
    """Mean losses of the epochs of a log."""
    return [row["loss"] for row in rows]
