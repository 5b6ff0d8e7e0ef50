"""Drawing of the classes of pixels in colour."""

import functools
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_pvt.utils.drawing import GAP, sheet, write_png

# Lightness of a colour, 0 to 100: outside, it is taken for shadow, or hides what it covers; and
# chroma: below, it is a gray, as much of a photograph is.
_DARKEST, _LIGHTEST, _GRAYEST = 25, 92, 10


@functools.cache
def palette() -> np.ndarray:
    """Colours of 255 classes, uint8 `(255, 3)`, sRGB.

    Each is as far as can be from black, gray, white and all before it, in CIELAB: however many
    classes there are, the first ones are told apart best.
    """
    levels = np.arange(0, 256, 17)
    candidates = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    places = _lab(candidates)
    fit = (places[:, 0] >= _DARKEST) & (places[:, 0] <= _LIGHTEST)
    fit &= np.linalg.norm(places[:, 1:], axis=1) > _GRAYEST
    candidates, places = candidates[fit], places[fit]
    distances = np.full(len(places), np.inf)
    taken = _lab(np.array([[0] * 3, [128] * 3, [255] * 3]))
    chosen: list[int] = []
    while len(chosen) < 255:
        for place in taken:
            distances = np.minimum(distances, np.linalg.norm(places - place, axis=1))
        chosen.append(int(distances.argmax()))
        taken = places[chosen[-1:]]
    return candidates[chosen].astype("uint8")


def overlay(image: np.ndarray, labels: np.ndarray, alpha: float = 0.6) -> Image.Image:
    """An image with the colour of its class over each pixel.

    Args:
        image: uint8 `(H, W, 3)`.
        labels: uint8 `(H, W)`; pixels of 255 keep the colour of the image.
        alpha: opacity of the colours: 0 leaves the image, 1 hides it.
    Raises:
        ValueError: image and labels differ in size.
    """
    if image.shape[:2] != labels.shape:
        raise ValueError(
            f"labels must be as high and wide as their image, {image.shape[:2]}; got "
            f"{labels.shape}."
        )
    colours = np.concatenate([palette(), np.zeros((1, 3), "uint8")])[labels]
    np.copyto(colours, image, where=(labels == 255)[..., None])
    return Image.blend(Image.fromarray(image), Image.fromarray(colours), alpha)


def shares(labels: np.ndarray, classes: Sequence[str]) -> dict[int, float]:
    """Share of the pixels of each class that is there, 0 to 1, the largest first.

    Args:
        labels: uint8 `(H, W)`; ignored pixels count in the whole.
        classes: names.
    """
    counts = Image.fromarray(labels).histogram()[: len(classes)]
    found = {number: count / labels.size for number, count in enumerate(counts) if count}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def legend(captions: Mapping[int, str], width: int) -> Image.Image:
    """Patches of colour with captions, in as many columns as fit.

    Args:
        captions: of classes, by their number, in the order in which they are drawn.
        width: of the picture in pixels; it becomes wider if a caption needs it.
    """
    size = min(28, max(11, width // 50))
    font = ImageFont.load_default(size=size)
    line, patch = round(1.5 * size), 2 * size
    longest = max((round(font.getlength(text)) for text in captions.values()), default=0)
    cell = patch + 2 * size + longest
    columns = max(1, width // cell)
    rows = -(-len(captions) // columns)
    picture = Image.new("RGB", (max(width, cell), rows * line + line // 2), "white")
    draw = ImageDraw.Draw(picture)
    for place, (number, text) in enumerate(captions.items()):
        column, row = divmod(place, rows)
        x, y = size // 2 + column * cell, line // 4 + row * line
        box = (x, y + line // 8, x + patch, y + line - line // 8)
        draw.rectangle(box, fill=tuple(palette()[number].tolist()))
        draw.text((x + patch + size // 2, y + line // 2), text, "black", font, anchor="lm")
    return picture


def draw_labels(
    image: np.ndarray, labels: np.ndarray, classes: Sequence[str], alpha: float = 0.6
) -> Image.Image:
    """An image in the colours of its classes, over a legend with each one's share.

    Args:
        image: uint8 `(H, W, 3)`.
        labels: uint8 `(H, W)`; pixels of 255 keep the colour of the image.
        classes: names, in the order of the labels.
        alpha: opacity of the colours: 0 leaves the image, 1 hides it.
    Returns:
        The picture, of the image's width or that of the legend.
    Raises:
        ValueError: image and labels differ in size.
    """
    found = shares(labels, classes)
    captions = {number: f"{classes[number]}: {share:.1%}" for number, share in found.items()}
    return _below(overlay(image, labels, alpha), legend(captions, image.shape[1]))


def draw_sheet(
    samples: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    classes: Sequence[str],
    path: pathlib.Path,
    alpha: float = 0.6,
) -> None:
    """Write a PNG with three pictures a row: image, true classes, predicted ones; and a legend.

    Args:
        samples: at least one (image, labels, predicted labels), see `overlay`.
        classes: names.
        path: of the PNG.
        alpha: of the colours.
    """
    pictures = []
    for image, truth, predicted in samples:
        pictures.append(Image.fromarray(image))
        pictures += [overlay(image, labels, alpha) for labels in (truth, predicted)]
    whole = sheet(pictures, columns=3)
    write_png(_below(whole, legend(dict(enumerate(classes)), whole.width)), path)


def _below(picture: Image.Image, key: Image.Image) -> Image.Image:
    """One above the other, on white."""
    size = (max(picture.width, key.width), picture.height + GAP + key.height)
    both = Image.new("RGB", size, "white")
    both.paste(picture, (0, 0))
    both.paste(key, (0, picture.height + GAP))
    return both


def _lab(colours: np.ndarray) -> np.ndarray:
    """sRGB 0..255 `(N, 3)` as CIELAB (D65); distances are about as large as they seem.

    Source:
        IEC 61966-2-1 for sRGB; ISO/CIE 11664-4 for L*a*b*.
    """
    linear = colours / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    xyz = linear @ np.array(
        [[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]]
    )
    ratio = xyz / [0.9505, 1.0, 1.089]
    root = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    x, y, z = root.T
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
