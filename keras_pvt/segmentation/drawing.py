"""Drawing of the classes of pixels in colour."""

import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_pvt.utils.colours import colours, is_background
from keras_pvt.utils.drawing import GAP, sheet, write_png

MOST_NAMED = 32  # classes in the legend of a video


def overlay(
    image: np.ndarray, labels: np.ndarray, classes: Sequence[str], alpha: float = 0.6
) -> Image.Image:
    """An image with the colour of its class over each pixel.

    Args:
        image: uint8 `(H, W, 3)`.
        labels: integers `(H, W)`; pixels of the background, and of numbers that are no class,
            keep the colour of the image.
        classes: names, see `keras_pvt.utils.colours`.
        alpha: opacity of the colours: 0 leaves the image, 1 hides it.
    Raises:
        ValueError: image and labels differ in size.
    """
    if image.shape[:2] != labels.shape:
        raise ValueError(
            f"labels must be as high and wide as their image, {image.shape[:2]}; got "
            f"{labels.shape}."
        )
    filled = np.array([not is_background(name) for name in classes] + [False])
    numbers = np.minimum(labels, np.array(len(classes)))
    picture = np.concatenate([colours(classes), np.zeros((1, 3), "uint8")])[numbers]
    np.copyto(picture, image, where=~filled[numbers][..., None])
    return Image.blend(Image.fromarray(image), Image.fromarray(picture), alpha)


def shares(labels: np.ndarray, classes: Sequence[str]) -> dict[int, float]:
    """Share of the pixels of each class that is there, 0 to 1, the largest first.

    Args:
        labels: integers `(H, W)`; ignored pixels count in the whole.
        classes: names.
    """
    counts = np.zeros(len(classes), int)
    for row in labels:  # all at once, their copy as integers of 64 bits would be large
        counts += np.bincount(row, minlength=len(classes))[: len(classes)]
    found = {n: count / labels.size for n, count in enumerate(counts.tolist()) if count}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def legend(captions: Mapping[int, str], classes: Sequence[str], width: int) -> Image.Image:
    """Patches of colour with captions, in as many columns as fit; that of a background is empty.

    Args:
        captions: of classes, by their number, in the order in which they are drawn.
        classes: names.
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
    fills = colours(classes).tolist()
    for place, (number, text) in enumerate(captions.items()):
        column, row = divmod(place, rows)
        x, y = size // 2 + column * cell, line // 4 + row * line
        box = (x, y + line // 8, x + patch, y + line - line // 8)
        fill = None if is_background(classes[number]) else tuple(fills[number])
        draw.rectangle(box, fill, outline="gray")
        draw.text((x + patch + size // 2, y + line // 2), text, "black", font, anchor="lm")
    return picture


def draw_labels(
    image: np.ndarray, labels: np.ndarray, classes: Sequence[str], alpha: float = 0.6
) -> Image.Image:
    """An image in the colours of its classes, over a legend with each one's share.

    Args:
        image: uint8 `(H, W, 3)`.
        labels: integers `(H, W)`; pixels of the background, and of numbers that are no class,
            keep the colour of the image.
        classes: names, in the order of the labels.
        alpha: opacity of the colours: 0 leaves the image, 1 hides it.
    Returns:
        The picture, of the image's width or that of the legend.
    Raises:
        ValueError: image and labels differ in size.
    """
    found = shares(labels, classes)
    captions = {number: f"{classes[number]}: {share:.1%}" for number, share in found.items()}
    drawn = overlay(image, labels, classes, alpha)
    return below(drawn, legend(captions, classes, image.shape[1]))


def draw_frame(
    image: np.ndarray, labels: np.ndarray, classes: Sequence[str], alpha: float = 0.6
) -> Image.Image:
    """`draw_labels` for frames of a video, which all have one size: the legend names each class.

    Of more than 32 classes there is no legend, which would be larger than the video.

    Args:
        image: uint8 `(H, W, 3)`.
        labels: integers `(H, W)`; pixels of the background, and of numbers that are no class,
            keep the colour of the image.
        classes: names, in the order of the labels.
        alpha: opacity of the colours: 0 leaves the image, 1 hides it.
    """
    drawn = overlay(image, labels, classes, alpha)
    if len(classes) > MOST_NAMED:
        return drawn
    return below(drawn, legend(dict(enumerate(classes)), classes, image.shape[1]))


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
        pictures += [overlay(image, labels, classes, alpha) for labels in (truth, predicted)]
    whole = sheet(pictures, columns=3)
    write_png(below(whole, legend(dict(enumerate(classes)), classes, whole.width)), path)


def below(picture: Image.Image, key: Image.Image) -> Image.Image:
    """One picture above the other, on white.

    Args:
        picture: the upper one.
        key: the lower one.
    """
    size = (max(picture.width, key.width), picture.height + GAP + key.height)
    both = Image.new("RGB", size, "white")
    both.paste(picture, (0, 0))
    both.paste(key, (0, picture.height + GAP))
    return both
