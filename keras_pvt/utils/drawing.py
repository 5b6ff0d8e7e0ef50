"""Sheets of several pictures, and PNG files."""

import pathlib
from collections.abc import Sequence

from PIL import Image

from keras_pvt.utils.files import replacing

WIDTH, GAP = 320, 4  # pixels of a sheet


def sheet(pictures: Sequence[Image.Image], columns: int = 4, width: int = WIDTH) -> Image.Image:
    """Pictures in rows, each scaled to the same width.

    Args:
        pictures: at least one; those of one row should have one shape.
        columns: pictures in a row.
        width: of each in pixels.
    """
    tiles = [
        picture.resize((width, max(1, round(width * picture.height / picture.width))))
        for picture in pictures
    ]
    rows = [tiles[start : start + columns] for start in range(0, len(tiles), columns)]
    heights = [max(tile.height for tile in row) for row in rows]
    step = width + GAP
    whole = Image.new("RGB", (step * len(rows[0]) - GAP, sum(heights) + GAP * (len(rows) - 1)))
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            whole.paste(tile, (step * column, top))
        top += height + GAP
    return whole


def write_png(picture: Image.Image, path: pathlib.Path) -> None:
    """Write a picture in one step."""
    with replacing(path) as temporary:
        picture.save(temporary, format="png", optimize=True)
