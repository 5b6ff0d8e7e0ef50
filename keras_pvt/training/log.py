"""The log of a training run, and its curves."""

import csv
import math
import os
import pathlib
from collections.abc import Mapping, Sequence

import keras

from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.files import replacing


class Log(keras.callbacks.Callback):
    """A line of CSV after each epoch; what was not logged in an epoch is an empty cell.

    A value that is logged for the first time gets a column of its own, last.
    `keras.callbacks.CSVLogger` adds an empty column for each value that other callbacks logged.

    Args:
        path: of the file; rows are appended to one that exists.
    """

    def __init__(self, path: pathlib.Path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        columns, rows = _read(self.path) if self.path.exists() else ([], [])
        row = {"epoch": str(epoch), **{key: f"{value:.6g}" for key, value in logs.items()}}
        _write(self.path, list(dict.fromkeys([*columns, *row])), [*rows, row])


def read_history(path: str | os.PathLike) -> list[dict[str, float]]:
    """Read the log of a training run.

    Args:
        path: of a file that `Log` wrote.
    Returns:
        For each epoch a dictionary of column to value, NaN where a cell is empty.
    Raises:
        OSError: the file cannot be opened.
        ValueError: a row has more cells, or fewer, than there are columns.
    """
    return [
        {key: float(value) if value else math.nan for key, value in row.items()}
        for row in _read(path)[1]
    ]


def cut_log(path: pathlib.Path, epochs: int) -> None:
    """Cut a log after a number of epochs: later ones were logged, but have no checkpoint.

    Args:
        path: the file, which need not exist; it is removed if no epoch is left.
        epochs: that stay.
    """
    if path.exists():
        columns, rows = _read(path)
        rows = [row for row in rows if int(row["epoch"]) < epochs]
        if rows:
            _write(path, columns, rows)
        else:
            path.unlink()


def _read(path: str | os.PathLike) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a log, as they are written."""
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            raise ValueError(
                f"line {number} of {os.fspath(path)} has not as many cells as there are columns; "
                "mend it, or move the file away."
            )
    return list(reader.fieldnames or []), rows


def _write(path: pathlib.Path, columns: Sequence[str], rows: Sequence[dict[str, str]]) -> None:
    with replacing(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw_curves(
    rows: Sequence[dict[str, float]], panels: Mapping[str, Sequence[str]], path: pathlib.Path
) -> None:
    """Draw columns of a log over the epochs; NaN is left out.

    Args:
        rows: as `read_history` gives them, with a column "epoch" from 0; one at least.
        panels: title of each panel to the columns that it shows.
        path: of the PNG to write.
    Raises:
        ImportError: matplotlib is not installed.
    """
    with needed_for("drawing curves", "plot"):
        from matplotlib import colormaps
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

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
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        if many:
            axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        else:
            axis.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
