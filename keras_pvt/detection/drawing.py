"""Drawing of boxes and masks on images."""

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_pvt.detection.captions import places
from keras_pvt.detection.data.samples import Sample
from keras_pvt.detection.data.segmentations import mask
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.results import Detections
from keras_pvt.utils.colours import colours, ink
from keras_pvt.utils.drawing import sheet, write_png

TINT = 110  # of 255, of a mask's colour


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    fills: np.ndarray,
    captions: Sequence[str],
    masks: Sequence[np.ndarray] = (),
) -> Image.Image:
    """An image with boxes, each beside its caption.

    Args:
        image: uint8 `(H, W, 3)`.
        boxes: `(N, 4)` xyxy in pixels; drawn from the last to the first.
        fills: `(N, 3)` uint8, the colour of each.
        captions: `(N,)`; left out are empty ones, and those that would hide objects, see
            `keras_pvt.detection.captions.places`.
        masks: N of bool `(H, W)`, what the objects cover, which is tinted; or none.
    """
    picture = Image.fromarray(image)
    paints = [tuple(fill) for fill in np.asarray(fills).tolist()]
    for own, fill in list(zip(masks, paints, strict=len(masks) > 0))[::-1]:
        picture.paste(fill, (0, 0), Image.fromarray(np.uint8(TINT * own)))
    line = max(1, round(max(picture.size) / 400))
    font = ImageFont.load_default(size=max(10, round(max(picture.size) / 60)))
    draw = ImageDraw.Draw(picture)
    for box, fill in list(zip(boxes, paints, strict=True))[::-1]:
        x1, y1, x2, y2 = (float(value) for value in box)
        # A box's far edge lies after its last pixel.
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=fill, width=line)
    extents = [draw.textbbox((0, 0), text, font)[2:] if text else None for text in captions]
    sizes = [
        None if extent is None else (round(extent[0]) + 3, round(extent[1]) + 3)
        for extent in extents
    ]
    for place, size, fill, text in zip(
        places(boxes, sizes, picture.size), sizes, paints, captions, strict=True
    ):
        if place is not None and size is not None:
            left, top = place
            draw.rectangle((left, top, left + size[0] - 1, top + size[1] - 1), fill=fill)
            draw.text((left + 1, top), text, fill=ink(fill), font=font)
    return picture


def draw_sheet(
    detector: Detector,
    samples: Sequence[Sample],
    path: pathlib.Path,
    batch_size: int,
    threshold: float = 0.4,
) -> None:
    """Write a PNG with each image twice: with its true boxes, and with those that are found.

    Args:
        detector: that looks for them.
        samples: images; one that cannot be read is left out.
        path: of the PNG.
        batch_size: images that the model gets at once.
        threshold: smallest score of a box.
    """
    pictures = []
    palette = colours(detector.classes)
    paths = [sample.path for sample in samples]
    results = detector.detect(paths, batch_size, keep_images=True)
    for sample, found in zip(samples, results, strict=True):
        image, found = found.image, found.above(threshold)
        if image is not None:
            truth = [detector.classes[label] for label in sample.labels]
            pictures += [
                draw_boxes(image, sample.boxes, palette[sample.labels], truth, _masks(sample)),
                draw_detections(detector, found),
            ]
    write_png(sheet(pictures), path)


def draw_detections(detector: Detector, found: Detections) -> Image.Image:
    """Draw detections on their image: boxes, class names, scores, and masks if there are any.

    Args:
        detector: the one that found them; it has the class names.
        found: detections that hold their image: `Detector.detect(..., keep_images=True)`.
    Returns:
        The picture, of the size of the image.
    Raises:
        ValueError: the detections do not hold their image.
    """
    if found.image is None:
        raise ValueError("detections are drawn on their image; pass `keep_images=True`.")
    count = range(len(found.boxes))
    masks = [] if found.masks is None else [found.mask(n) for n in count]
    texts = captions(detector, found)
    palette = colours(detector.classes)
    return draw_boxes(found.image, found.boxes, palette[found.labels], texts, masks)


def _masks(sample: Sample) -> list[np.ndarray]:
    size = (sample.height, sample.width)
    return [mask(outline, size) for outline in sample.segmentations]


def captions(detector: Detector, found: Detections) -> list[str]:
    """Class and score of each box."""
    return [
        f"{detector.classes[label]} {score:.0%}"
        for label, score in zip(found.labels, found.scores, strict=True)
    ]
