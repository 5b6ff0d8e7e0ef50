"""Drawing of boxes and masks on images."""

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_pvt.detection.data.samples import Sample
from keras_pvt.detection.data.segmentations import mask
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.results import Detections
from keras_pvt.utils.drawing import sheet, write_png

# Colours that are told apart on photographs, taken in turn by the classes.
COLOURS = ("#e6194b", "#1f77ff", "#2ca02c", "#ff7f0e", "#b400ff", "#00b3b3", "#a0522d", "#e377c2")

TINT = 110  # of 255, of a mask's colour


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray,
    captions: Sequence[str],
    masks: Sequence[np.ndarray] = (),
) -> Image.Image:
    """An image with boxes, coloured by class, each under its caption.

    Args:
        image: uint8 `(H, W, 3)`.
        boxes: `(N, 4)` xyxy in pixels; drawn from the last to the first.
        labels: `(N,)`, index of the class.
        captions: `(N,)`; an empty one is left out.
        masks: N of bool `(H, W)`, what the objects cover, which is tinted; or none.
    """
    picture = Image.fromarray(image)
    for own, label in list(zip(masks, labels, strict=len(masks) > 0))[::-1]:
        colour = COLOURS[int(label) % len(COLOURS)]
        picture.paste(colour, (0, 0), Image.fromarray(np.uint8(TINT * own)))
    line = max(1, round(max(picture.size) / 400))
    font = ImageFont.load_default(size=max(10, round(max(picture.size) / 60)))
    draw = ImageDraw.Draw(picture)
    for box, label, caption in list(zip(boxes, labels, captions, strict=True))[::-1]:
        colour = COLOURS[int(label) % len(COLOURS)]
        x1, y1, x2, y2 = (float(value) for value in box)
        # A box's far edge lies after its last pixel.
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=line)
        if caption:
            right, bottom = draw.textbbox((0, 0), caption, font)[2:]
            y = max(0, y1 - bottom - 2)
            x = max(0, min(x1, picture.width - right - 2))
            draw.rectangle((x, y, x + right + 2, y + bottom + 2), fill=colour)
            draw.text((x + 1, y), caption, fill="white", font=font)
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
    paths = [sample.path for sample in samples]
    results = detector.detect(paths, batch_size, keep_images=True)
    for sample, found in zip(samples, results, strict=True):
        image, found = found.image, found.above(threshold)
        if image is not None:
            truth = [detector.classes[label] for label in sample.labels]
            pictures += [
                draw_boxes(image, sample.boxes, sample.labels, truth, _masks(sample)),
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
    return draw_boxes(found.image, found.boxes, found.labels, texts, masks)


def _masks(sample: Sample) -> list[np.ndarray]:
    size = (sample.height, sample.width)
    return [mask(outline, size) for outline in sample.segmentations]


def captions(detector: Detector, found: Detections) -> list[str]:
    """Class and score of each box."""
    return [
        f"{detector.classes[label]} {score:.0%}"
        for label, score in zip(found.labels, found.scores, strict=True)
    ]
