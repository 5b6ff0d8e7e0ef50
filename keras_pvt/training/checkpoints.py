"""Checkpoints, from which a killed run can be resumed."""

import math
import pathlib

import keras

from keras_pvt.training.state import load_state, metadata_of, save_state

FOLDER = "checkpoints"  # in that of a run
BEST = "best.safetensors"


def epoch_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The checkpoints of epochs in a folder, the last epoch last."""
    return sorted(folder.glob("epoch-*.safetensors"))


class Checkpoints(keras.callbacks.Callback):
    """Keeps the last epochs and the best one; `restore` resumes from the last.

    Put it after callbacks that may stop the run, and after those that log metrics. If the
    evaluation may fail, call `write_epoch` before it and `write_best` after it instead.

    Args:
        folder: for the files, `epoch-0007.safetensors` and `best.safetensors`.
        model: the model whose variables are kept; inside a wrapper, the wrapped one.
        keep: how many of the last epochs to keep.
        monitor: metric in the log whose highest value marks the best epoch; None keeps no best one.
        writes: whether this process writes; False for those that only restore.
    Attributes:
        best: highest value of `monitor` so far.
        logs: logs of the last epoch, as known when its checkpoint was written.
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
        self.logs: dict[str, float] = {}

    def epochs(self) -> int:
        """Whole epochs up to the last checkpoint.

        Returns:
            Their number, 0 without a checkpoint.
        Raises:
            ValueError: the checkpoint is damaged.
        """
        files = epoch_files(self.folder)
        return metadata_of(files[-1])["epoch"] if files else 0

    def restore(self, optimizer: keras.optimizers.Optimizer) -> int:
        """Restore the last checkpoint, if there is one.

        Args:
            optimizer: optimizer to restore; it is built here if it is not built yet.
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
        files = epoch_files(self.folder)
        if not files:
            return 0
        metadata = load_state(files[-1], self.kept, optimizer)
        self.logs = metadata.get("logs", {})
        best = self.folder / BEST
        if best.exists():
            self.best = metadata_of(best)["best"]
        return metadata["epoch"]

    def on_epoch_end(self, epoch, logs=None):
        self.write_epoch(epoch, logs)
        self.write_best(epoch, logs)

    def write_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        """Write the checkpoint of an epoch, and remove the oldest.

        Args:
            epoch: that is over, from 0.
            logs: of it.
        Raises:
            OSError: the file cannot be written; those before are whole.
        """
        self.logs = {name: float(value) for name, value in logs.items()}
        if self.writes:
            path = self.folder / f"epoch-{epoch + 1:04}.safetensors"
            metadata = {"epoch": epoch + 1, "logs": self.logs}
            save_state(path, self.kept, self.model.optimizer, metadata)
            for old in epoch_files(self.folder)[: -self.keep]:
                old.unlink()

    def write_best(self, epoch: int, logs: dict[str, float]) -> None:
        """Write the checkpoint of the best epoch, if it is this one.

        Args:
            epoch: that was measured, from 0.
            logs: of it, with `monitor` where that was measured.
        Raises:
            OSError: the file cannot be written; those before are whole.
        """
        value = logs.get(self.monitor or "", math.nan)
        if not value > self.best:  # NaN neither
            return
        self.best = float(value)
        if self.writes:
            metadata = {"epoch": epoch + 1, "best": self.best}
            save_state(self.folder / BEST, self.kept, self.model.optimizer, metadata)
