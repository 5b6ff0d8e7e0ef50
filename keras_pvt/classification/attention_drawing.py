"""Pictures of predictions and attention; needs matplotlib, the extra "plot"."""

import dataclasses
import io
import os
import pathlib
from collections.abc import Sequence

import numpy as np

from keras_pvt import families
from keras_pvt.classification.attention_grid import AttentionGrid, attention_maps
from keras_pvt.classification.predictor import FileClassifier
from keras_pvt.models.graph import block_name
from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.files import replacing

with needed_for("drawing", "plot"):
    from matplotlib.figure import Figure

INK, GRAY, TRACK = "#22262e", "#6b7480", "#eceff3"
BAR, FAINT_BAR, MARK = "#2f6db5", "#9dbbdd", "#e0245e"
# Fewer cells a side of stage 4's map show nothing, and this is the size that shows more.
LEAST_CELLS, SIZE = 4, 224


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


def attentive_classifier(
    name: str,
    weights: str | None = None,
    size: int | None = None,
    classes: str | Sequence[str] | None = None,
) -> tuple[FileClassifier, str]:
    """A classifier at a size at which its coarsest map shows something.

    Args:
        name: that a user gives, see `FileClassifier.named`, as the others.
        weights: of a variant.
        size: side of the crop in pixels; None: as it was trained, or 224 where stage 4 has less
            than 4x4 cells at that.
        classes: names for those of a checkpoint.
    Returns:
        The classifier, and what is to be said of its size; or "".
    Raises:
        ValueError, OSError: see `FileClassifier.named`.
    """
    predictor = FileClassifier.named(name, weights, size, classes)
    sides = (predictor.size, predictor.size)
    grid = AttentionGrid.of(families.config_of(predictor.model), 4, *sides, class_token=True)
    cells = min(grid.queries)
    if size is not None or cells >= LEAST_CELLS:
        return predictor, ""
    own = f"{predictor.size} pixels, as {name} was trained, stage 4 has {cells}x{cells} cells"
    if name.endswith(".keras"):  # which takes one size
        return predictor, f"at {own}"
    note = f"drawn at {SIZE} pixels; at {own}: --size {predictor.size} draws those"
    return FileClassifier.named(name, weights, SIZE, classes), note


def query_title(predictor: FileClassifier, image: str, pixel: tuple[int, int] | None = None) -> str:
    """What `attention_rows` are of, in words.

    Args:
        predictor: whose attention is drawn.
        image: name of the image.
        pixel: (column, row) of the query, or None.
    """
    if pixel is not None:
        return "what pixel {}, {} of {} attends to".format(*pixel, image)
    if families.named(families.config_of(predictor.model).family).token is not None:
        return f"what the class token of {image} attends to"
    return f"what the cells of {image} attend to, on average"


def attention_rows(
    predictor: FileClassifier, image: np.ndarray, pixel: tuple[int, int] | None = None
) -> list[AttentionRow]:
    """The class token, or the mean of all cells, in the blocks of stage 4; or a pixel in the last
    block of each stage.

    Args:
        predictor: whose attention is looked at.
        image: uint8 `(H, W, 3)`, a crop of it.
        pixel: (column, row) of the query in the crop, or None.
    """
    config = families.config_of(predictor.model)
    if pixel is None:
        blocks = [(4, block) for block in range(config.depths[3])]
    else:
        blocks = [(stage, depth - 1) for stage, depth in enumerate(config.depths, start=1)]
    height, width, _ = image.shape
    seen = predictor.model_input(image[None])
    maps = attention_maps(predictor.model, seen, [block_name(*block) for block in blocks])
    rows = []
    for (stage, block), weights in zip(blocks, maps.values(), strict=True):
        grid = AttentionGrid.of(config, stage, height, width, class_token=True)
        if pixel is not None:
            weights = weights[0, :, grid.query(*pixel)]
        else:
            weights = weights[0, :, 0] if grid.class_token else weights[0].mean(axis=1)
        title = f"stage {stage}, block {block + 1} of {config.depths[stage - 1]}"
        rows.append(AttentionRow(title, grid.as_map(weights), grid))
    return rows


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
