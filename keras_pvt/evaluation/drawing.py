"""Pictures of a confusion matrix and of calibration; needs matplotlib, the extra "plot"."""

import pathlib
from collections.abc import Sequence

import numpy as np

from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.files import replacing

WRITTEN = 15  # of so many classes at most the numbers are written into the cells


def draw_matrix(labels: Sequence[str], matrix: np.ndarray, path: pathlib.Path) -> None:
    """Draw a confusion matrix; the colour is the share of its true class.

    Args:
        labels: of rows and columns.
        matrix: integers `(K, K)`, by true and then by predicted class.
        path: of the PNG to write.
    Raises:
        ImportError: matplotlib is not installed.
    """
    figure = _figure(max(5.0, 0.35 * len(labels) + 2))
    axis = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    drawn = axis.imshow(share, vmin=0, vmax=1, cmap="Blues")
    figure.colorbar(drawn, label="share of the true class", shrink=0.7)
    places = range(len(labels))
    axis.set_xticks(places, labels, rotation=90, parse_math=False)  # "$" is a dollar
    axis.set_yticks(places, labels, parse_math=False)
    axis.set(xlabel="predicted", ylabel="true")
    if len(labels) <= WRITTEN:
        for row, column in np.argwhere(matrix):
            colour = "white" if share[row, column] > 0.5 else "black"
            text = f"{matrix[row, column]:,}" if matrix.max() < 1e5 else f"{share[row, column]:.0%}"
            axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    _save(figure, path)


def draw_calibration(curve: Sequence[tuple[int, float, float]], path: pathlib.Path) -> None:
    """Draw how often a classifier is right where it says how sure it is.

    Args:
        curve: for each range (images, mean confidence, accuracy); ranges without images are left
            out.
        path: of the PNG to write.
    Raises:
        ImportError: matplotlib is not installed.
    """
    figure = _figure(5)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    filled = [one for one in curve if one[0]]
    confidence = [one[1] for one in filled]
    upper.plot([0, 1], [0, 1], "--", color="gray", label="as sure as right")
    upper.plot(confidence, [one[2] for one in filled], marker="o", label="this model")
    upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    upper.grid(alpha=0.3)
    upper.legend()
    lower.bar(confidence, [one[0] for one in filled], width=0.05)
    lower.set(xlabel="confidence", ylabel="images")
    _save(figure, path)


def _figure(side: float):
    with needed_for("drawing a report", "plot"):
        from matplotlib.figure import Figure

    return Figure((side + 1, side), layout="constrained")


def _save(figure, path: pathlib.Path) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
