"""Batches of images with padded boxes, for `fit` on any backend."""

import logging

import numpy as np

from keras_pvt.detection.augmentation import Augmentation, visible
from keras_pvt.detection.geometry import PADDING
from keras_pvt.detection.samples import DetectionSet
from keras_pvt.images import ImageError, load_image
from keras_pvt.training import ShuffledBatches

logger = logging.getLogger("keras_pvt")


class DetectionBatches(ShuffledBatches):
    """Shuffled, augmented batches; the same for the same seed and epoch.

    Boxes are dense: each image has as many as the fullest of the set, filled up with zeros of
    class -1. A file that cannot be decoded is logged, and gives an empty image without boxes.

    Args:
        data: the samples; crowds are left out.
        canvas: (height, width) of the images of a batch.
        batch_size: images in a batch; a last smaller batch is left out.
        augmentation: of each image.
        seed: decides order and augmentation, together with the epoch.
        first_epoch: where to go on, from 0.
        label_key: what the detector calls the classes: "classes" in keras-cv, "labels" in
            KerasHub.
    Returns:
        For an index images `(B, H, W, 3)` float32, RGB 0..255, and a dictionary of boxes
        `(B, N, 4)`, xyxy in pixels of the canvas, and classes `(B, N)`, both float32.
    """

    def __init__(
        self,
        data: DetectionSet,
        canvas: tuple[int, int],
        batch_size: int,
        augmentation: Augmentation,
        seed: int = 0,
        first_epoch: int = 0,
        label_key: str = "classes",
    ):
        super().__init__(len(data.samples), batch_size, seed, first_epoch)
        self.data, self.canvas = data, canvas
        self.augmentation, self.label_key = augmentation, label_key

    def __getitem__(self, index):
        chosen, rng = self.draw(index)
        images = np.empty((self.batch_size, *self.canvas, 3), "float32")
        boxes = np.zeros((self.batch_size, self.data.max_boxes, 4), "float32")
        labels = np.full(boxes.shape[:2], -1, "float32")
        for row, number in enumerate(chosen):
            images[row], own, classes = self._augmented(self.data.samples[number], rng)
            boxes[row, : len(own)] = own
            labels[row, : len(own)] = classes
        return images, {"boxes": boxes, self.label_key: labels}

    def _augmented(self, sample, rng):
        placement = self.augmentation.draw((sample.height, sample.width), self.canvas, rng)
        try:
            image = placement.image(load_image(sample.path))
        except (OSError, ImageError) as error:
            logger.warning("%s; an empty image takes its place", error)
            return np.array(PADDING), np.empty((0, 4)), np.empty(0)
        boxes, seen = visible(placement.boxes(sample.boxes), self.canvas)
        seen &= ~sample.crowd
        return image, boxes[seen], sample.labels[seen]
