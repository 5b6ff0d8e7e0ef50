"""Sheets of several pictures, and PNG files."""

import pathlib
import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

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


def titled(image: np.ndarray, text: str) -> Image.Image:
    """An image of the same size, with text in its upper left corner.

    Args:
        image: uint8 `(H, W, 3)`.
        text: one line; what is too long is cut off.
    """
    picture = Image.fromarray(image)
    font = ImageFont.load_default(size=max(10, round(min(picture.size) / 18)))
    draw = ImageDraw.Draw(picture)
    right, bottom = draw.textbbox((0, 0), text, font)[2:]
    draw.rectangle((0, 0, right + 5, bottom + 3), fill="black")
    draw.text((3, 1), text, "white", font)
    return picture


def captioned(image: np.ndarray | Image.Image, text: str, width: int = WIDTH) -> Image.Image:
    """A picture with text below it.

    Args:
        image: uint8 `(H, W, 3)`, or a picture.
        text: is cut where it is too long for two lines.
        width: that the picture is scaled to, in pixels, so that text of it can be read.
    """
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    picture = picture.resize((width, max(1, round(width * picture.height / picture.width))))
    font = ImageFont.load_default(size=13)
    letters = max(1, int(width / font.getlength("n")))
    lines = textwrap.wrap(text, letters)[:2]
    whole = Image.new("RGB", (width, picture.height + 36), "white")
    whole.paste(picture, (0, 0))
    ImageDraw.Draw(whole).text((3, picture.height + 2), "\n".join(lines), "black", font)
    return whole
