"""Drawing of what a detector finds, and of what it should."""

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_pvt.detection.box_drawing import draw_boxes
from keras_pvt.detection.data.samples import Sample
from keras_pvt.detection.data.segmentations import mask
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.results import Detections
from keras_pvt.utils.colours import colours
from keras_pvt.utils.drawing import sheet, write_png


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
