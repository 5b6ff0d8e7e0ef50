"""The log of a training run, and its curves."""

import csv
import math
import os
import pathlib
from collections.abc import Mapping, Sequence

import keras

from keras_pvt.utils.files import replacing


class Log(keras.callbacks.Callback):
    """A line of CSV after each epoch; the columns are those of the first.

    `keras.callbacks.CSVLogger` adds an empty column for each value that other callbacks logged.

    Args:
        path: of the file; rows are appended to one that exists.
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
    """Read the log of a training run.

    Args:
        path: of a file that `Log` wrote.
    Returns:
        For each epoch a dictionary of column to value.
    Raises:
        OSError: the file cannot be opened.
    """
    with open(path, newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def draw_curves(
    rows: Sequence[dict[str, float]], panels: Mapping[str, Sequence[str]], path: pathlib.Path
) -> None:
    """Draw columns of a log over the epochs; NaN is left out.

    Args:
        rows: as `read_history` gives them, with a column "epoch" from 0.
        panels: title of each panel to the columns that it shows.
        path: of the PNG to write.
    Raises:
        ImportError: matplotlib is not installed.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure((5 * len(panels), 4), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axis, (title, columns) in zip(axes, panels.items(), strict=True):
        many = len(columns) > 10  # more than the usual colours, and a legend that would cover them
        if many:
            axis.set_prop_cycle(color=colormaps["tab20"](range(20)))
        for column in columns:
            shown = [row for row in rows if not math.isnan(row[column])]
            epochs = [row["epoch"] + 1 for row in shown]
            label = column.replace("_", " ")
            axis.plot(epochs, [row[column] for row in shown], marker=".", label=label)
        axis.set(xlabel="epoch", ylabel=title)
        axis.grid(alpha=0.3)
        if many:
            axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        else:
            axis.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
