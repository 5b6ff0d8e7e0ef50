"""Pictures of predictions and attention; needs matplotlib, the extra "plot"."""

import dataclasses
import io
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from keras_pvt.classification.attention_grid import AttentionGrid
from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.files import replacing

with needed_for("drawing", "plot"):
    from matplotlib.figure import Figure

INK, GRAY, TRACK = "#22262e", "#6b7480", "#eceff3"
BAR, FAINT_BAR, MARK = "#2f6db5", "#9dbbdd", "#e0245e"


@dataclasses.dataclass(frozen=True)
class AttentionRow:
    """A row of an attention picture: the heads of one block.

    Args:
        title: of the row, such as "stage 4, block 1".
        maps: attention weights `(heads, rows, columns)` on the grid of the keys.
        grid: where the keys lie in the image.
    """

    title: str
    maps: np.ndarray
    grid: AttentionGrid


def draw_attention(
    image: np.ndarray,
    rows: Sequence[AttentionRow],
    path: str | os.PathLike,
    title: str,
    pixel: tuple[int, int] | None = None,
) -> None:
    """Draw the image, and for each row the heads' weights over it.

    Weights are shown cell by cell as they are on the reduced grid, never smoothed; each head
    has its own scale, whose end is written above it.

    Args:
        image: uint8 `(H, W, 3)`, as the model saw it, before normalisation.
        rows: from top to bottom.
        path: of the PNG to write.
        title: of the picture.
        pixel: (column, row) of the query, to be marked; None for the class token.
    """
    heads = max(len(row.maps) for row in rows)
    figure = Figure((3.2 + 1.5 * heads, 0.6 + 1.95 * len(rows)), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=13)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[3.2, 1.5 * heads])[0]
    axes = left.subplots()
    axes.imshow(image)
    axes.set_axis_off()
    axes.set_anchor("N")
    _mark(axes, pixel, size=12)
    gray = image.mean(axis=-1)
    strips = right.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for strip, row in zip(strips, rows, strict=True):
        strip.suptitle(_describe(row), x=0.01, ha="left", color=INK, fontsize=10)
        for head, axes in enumerate(strip.subplots(1, heads, squeeze=False)[0]):
            axes.set_axis_off()
            if head < len(row.maps):
                axes.imshow(gray, cmap="gray")
                _overlay(axes, row.maps[head], row.grid)
                _mark(axes, pixel, size=5)
                label = f"head {head + 1}, max {row.maps[head].max():.1%}"
                axes.set_title(label, y=-0.16, color=GRAY, fontsize=8)
                axes.set(xlim=(-0.5, image.shape[1] - 0.5), ylim=(image.shape[0] - 0.5, -0.5))
    _save(figure, path)


def draw_predictions(
    pictures: Sequence[tuple[np.ndarray, Sequence[tuple[str, float]]]],
    path: str | os.PathLike,
    title: str,
) -> None:
    """Draw each image with bars of its most likely classes beside it.

    Args:
        pictures: for each an image `(H, W, 3)`, uint8, and (class name, probability), best
            first.
        path: of the PNG to write.
        title: of the picture.
    """
    columns = min(2, len(pictures))
    rows = -(-len(pictures) // columns)
    figure = Figure((5.6 * columns, 0.6 + 1.9 * rows), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=13)
    axes = figure.subplots(rows, 2 * columns, squeeze=False).reshape(-1, 2)
    for pair in axes[len(pictures) :]:
        for unused in pair:
            unused.set_axis_off()
    for (shown, bars), (image, best) in zip(axes, pictures, strict=False):
        shown.imshow(image)
        shown.set_axis_off()
        _bars(bars, best)
    _save(figure, path)


def _bars(axes, best):
    names = [name.replace("_", " ") for name, _ in best]
    values = [value for _, value in best]
    rows = range(len(best))
    axes.barh(rows, [1] * len(best), color=TRACK, height=0.34)
    axes.barh(rows, values, color=[BAR] + [FAINT_BAR] * (len(best) - 1), height=0.34)
    for row, name, value in zip(rows, names, values, strict=True):
        axes.text(0, row - 0.26, name, color=INK, fontsize=9, va="bottom")
        axes.text(1, row - 0.26, f"{value:.1%}", color=GRAY, fontsize=9, va="bottom", ha="right")
    axes.set(xlim=(0, 1), ylim=(len(best) - 0.6, -0.9))
    axes.set_axis_off()


def _mark(axes, pixel, size):
    """A ring around the query, if it is a pixel."""
    if pixel is not None:
        for color, width in (("white", size / 3), (MARK, size / 6)):
            axes.plot(*pixel, "o", ms=size, mfc="none", mec=color, mew=width)


def _describe(row: AttentionRow) -> str:
    grid = row.grid
    keys = "{}x{} keys".format(*grid.keys)
    if grid.keys != grid.queries:
        keys += ", reduced from {}x{}".format(*grid.queries)
    return f"{row.title}: {keys}, each {{:.0f}}x{{:.0f}} pixels".format(*grid.key_size)


def _overlay(axes, weights, grid):
    """Cell by cell where the cells lie; a floored rest of the image has no key."""
    (height, width), (rows, columns) = grid.key_size, weights.shape
    extent = (-0.5, columns * width - 0.5, rows * height - 0.5, -0.5)
    axes.imshow(weights, cmap="inferno", vmin=0, alpha=0.6, interpolation="nearest", extent=extent)


def _save(figure, path):
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    with replacing(pathlib.Path(path)) as temporary:
        temporary.write_bytes(content.getvalue())
