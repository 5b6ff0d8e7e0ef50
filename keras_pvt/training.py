"""What the training examples share: options, batches, optimiser, schedule, log and its curves."""

import argparse
import csv
import json
import math
import os
import pathlib
from collections.abc import Sequence

import keras
import numpy as np

from keras_pvt.conversion.files import replacing
from keras_pvt.ops import BACKEND


def check_positive(
    parser: argparse.ArgumentParser, options: argparse.Namespace, *names: str
) -> None:
    """End the program with an error for the first option that is not above 0."""
    for name in names:
        if getattr(options, name) <= 0:
            flag = f"--{name.replace('_', '-')}"
            parser.error(f"{flag} must be above 0; got {getattr(options, name)}")


def save_settings(options: argparse.Namespace, classes: Sequence[str]) -> None:
    """Make the folder `options.out`, and write to it what the run was started with."""
    options.out.mkdir(parents=True, exist_ok=True)
    settings: dict[str, object] = {name: str(value) for name, value in vars(options).items()}
    settings |= {"classes": list(classes), "backend": BACKEND}
    (options.out / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")


class ShuffledBatches(keras.utils.PyDataset):
    """Batches in an order that is drawn anew for each epoch; the same for the same seed.

    Args:
        count: samples there are.
        batch_size: samples in a batch; a last smaller batch is left out.
        seed: decides what is drawn, together with the epoch.
        first_epoch: where to go on, from 0.
    """

    def __init__(self, count: int, batch_size: int, seed: int, first_epoch: int):
        super().__init__()
        self.count, self.batch_size = count, batch_size
        self.seed, self.epoch = seed, first_epoch
        self._shuffle()

    def __len__(self):
        return self.count // self.batch_size

    def on_epoch_end(self):
        self.epoch += 1
        self._shuffle()

    def _shuffle(self):
        self.order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)

    def draw(self, index: int) -> tuple[np.ndarray, np.random.Generator]:
        """The numbers of the samples of a batch, and what its augmentation draws from."""
        rng = np.random.default_rng((self.seed, self.epoch, index))
        return self.order[index * self.batch_size :][: self.batch_size], rng


@keras.saving.register_keras_serializable(package="keras_pvt")
class WarmUpCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear from 0 to `peak` over `warm_up` steps, then half a cosine to 0 at step `total`."""

    def __init__(self, peak: float, warm_up: int, total: int):
        self.peak, self.warm_up, self.total = peak, warm_up, total

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rise = (step + 1) / max(1, self.warm_up)
        done = keras.ops.clip((step - self.warm_up) / max(1, self.total - self.warm_up), 0, 1)
        fall = 0.5 * (1 + keras.ops.cos(math.pi * done))
        return self.peak * keras.ops.minimum(rise, fall)

    def get_config(self):
        return {"peak": self.peak, "warm_up": self.warm_up, "total": self.total}


def make_optimizer(
    name: str,
    model: keras.Model,
    rate: keras.optimizers.schedules.LearningRateSchedule,
    weight_decay: float,
    not_muon: Sequence[str] = (),
) -> keras.optimizers.Optimizer:
    """AdamW or Muon, with the gradient's norm clipped at 1.

    Vectors (biases, norms) and the class token do not decay, as in the official code.

    Args:
        name: "adamw" or "muon".
        model: whose weights are going to be trained.
        rate: learning rate by step.
        weight_decay: for both kinds of update.
        not_muon: expressions for paths of matrices that AdamW updates all the same.
    """
    settings = {"weight_decay": weight_decay, "global_clipnorm": 1.0}
    if name == "muon":  # AdamW all the same for what is no matrix
        optimizer = keras.optimizers.Muon(
            rate, adam_weight_decay=weight_decay, exclude_layers=list(not_muon), **settings
        )
    else:
        optimizer = keras.optimizers.AdamW(rate, **settings)
    optimizer.exclude_from_weight_decay(
        var_list=[
            variable
            for variable in model.trainable_variables
            if len(variable.shape) == 1 or variable.path.startswith("class_token")
        ]
    )
    return optimizer


def epochs_done(backup: pathlib.Path, history: pathlib.Path) -> int:
    """Whole epochs that `keras.callbacks.BackupAndRestore` has kept in a folder.

    What the log has beyond them, from an epoch that ended but was not kept, is cut off.
    """
    state = backup / "training_metadata.json"
    done = json.loads(state.read_text())["epoch"] if state.exists() else 0
    if history.exists():
        lines = history.read_text().splitlines(keepends=True)
        with replacing(history) as temporary:
            temporary.write_text("".join(lines[: done + 1] if done else []))
    return done


class Log(keras.callbacks.Callback):
    """A line of CSV after each epoch; the columns are those of the first.

    `keras.callbacks.CSVLogger` would add an empty column for each that other callbacks logged.

    Args:
        path: of the file, which is gone on with if it is there.
    """

    def __init__(self, path: pathlib.Path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch, **{key: f"{value:.6g}" for key, value in logs.items()}}
        new = not self.path.exists() or not self.path.stat().st_size
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)


def read_history(path: str | os.PathLike) -> list[dict[str, float]]:
    """Rows of a log, a dictionary each."""
    with open(path, newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def draw_curves(
    rows: Sequence[dict[str, float]], panels: dict[str, Sequence[str]], path: pathlib.Path
) -> None:
    """Draw columns of a log over the epochs; NaN is left out.

    Args:
        rows: as `read_history` gives them, with a column "epoch" from 0.
        panels: for each panel its title and the columns that it shows.
        path: of the PNG to write.
    """
    from matplotlib.figure import Figure

    figure = Figure((5 * len(panels), 4), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, columns) in zip(axes, panels.items(), strict=True):
        for column in columns:
            shown = [row for row in rows if not math.isnan(row[column])]
            epochs = [row["epoch"] + 1 for row in shown]
            label = column.replace("_", " ")
            axis.plot(epochs, [row[column] for row in shown], marker=".", label=label)
        axis.set(xlabel="epoch", ylabel=title)
        axis.grid(alpha=0.3)
        axis.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
