"""What a run keeps, to go on after it was stopped at any moment."""

import math
import pathlib

import keras

from keras_pvt.training.state import load_state, save_state
from keras_pvt.utils.files import replacing

BEST = "best.safetensors"


class Checkpoints(keras.callbacks.Callback):
    """Keeps the last epochs and the best one; `restore` resumes from the last.

    Put it after callbacks that may stop the run, and after those that log metrics.

    Args:
        folder: for the files, `epoch-0007.safetensors` and `best.safetensors`.
        model: the model whose variables are kept; inside a wrapper, the wrapped one.
        keep: how many of the last epochs to keep.
        monitor: metric in the log that is highest in the best epoch; None keeps no best one.
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
        """The checkpoints of epochs.

        Returns:
            Paths, the last epoch last.
        """
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
        value = logs.get(self.monitor, math.nan)
        value = -math.inf if math.isnan(value) else value  # not measured in this epoch
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
