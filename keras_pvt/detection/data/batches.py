"""Batches of images with padded boxes, for `fit` on any backend."""

import numpy as np

from keras_pvt.detection.data.augmentation import Augmentation, visible
from keras_pvt.detection.data.letterbox import PADDING
from keras_pvt.detection.data.samples import DetectionSet
from keras_pvt.detection.data.segmentations import mask
from keras_pvt.training.data.batch_sampler import BatchSampler
from keras_pvt.training.data.threaded import ThreadedBatches
from keras_pvt.utils.images import load_image


class DetectionBatches(ThreadedBatches):
    """Shuffled, augmented batches, read by threads; an epoch has each image once.

    Images lie in the upper left corner of a canvas that fits all images of the batch. Boxes are
    dense: each image has as many as the fullest of the set, filled up with zeros of class -1.

    Args:
        data: the samples; crowds are left out.
        batch_size: images in a batch of this process; a last smaller batch is left out.
        augmentation: of each image.
        seed: decides order and augmentation, together with the epoch.
        first_epoch: where to go on, from 0.
        label_key: what the detector calls the classes: "labels" in KerasHub, else "classes".
        sizes: whether the labels tell (height, width) of each image without padding, as
            `keras_pvt.detection.RetinaNet` wants it.
        named: whether images come in a dictionary that tells their sizes too, as
            `keras_pvt.detection.DETR` wants it.
        masks: whether the labels have the objects' pixels; the samples need their outlines.
            Boxes are then as many as the fullest image of the batch has, rounded up to a power
            of 2, as masks take much memory.
        grouped: whether a batch has wide or high images only, so that little of it is padding.
        shard: (index, number) of this process among those that train together.
        workers: threads that read and augment; by default one for each processor.
    Returns:
        For an index images `(B, H, W, 3)` float32, RGB 0..255, and a dictionary of boxes
        `(B, N, 4)`, xyxy in pixels of the canvas, and classes `(B, N)`, both float32; "masks"
        `(B, N, H, W)` uint8, 0 or 1, and "sizes" `(B, 2)` int32 where they are wanted.
    Raises:
        ValueError: fewer images than a batch. While reading: see `ThreadedBatches`.
    """

    def __init__(
        self,
        data: DetectionSet,
        batch_size: int,
        augmentation: Augmentation,
        *,
        seed: int = 0,
        first_epoch: int = 0,
        label_key: str = "classes",
        sizes: bool = False,
        named: bool = False,
        masks: bool = False,
        grouped: bool = False,
        shard: tuple[int, int] = (0, 1),
        workers: int | None = None,
    ):
        self.data, self.augmentation, self.label_key = data, augmentation, label_key
        self.sizes, self.named, self.masks, self.grouped = sizes, named, masks, grouped
        positions = BatchSampler(len(data.samples), batch_size, shard)
        super().__init__(positions, seed, first_epoch, workers=workers)

    def _shuffle(self):
        super()._shuffle()
        if self.grouped:
            wide = np.array([sample.width > sample.height for sample in self.data.samples])
            size = self.batch_size * self.positions.shard[1]
            rng = np.random.default_rng((self.seed, self.epoch, self.count))
            self.order = grouped(self.order, wide[self.order], size, rng)

    def _name(self, number):
        return str(self.data.samples[number].path)

    def _made(self, number, rng):
        sample = self.data.samples[number]
        letterbox = self.augmentation.draw((sample.height, sample.width), rng)
        image = letterbox.image(load_image(sample.path))
        boxes, kept = visible(letterbox.boxes(sample.boxes), letterbox.canvas)
        kept &= ~sample.crowd
        masks = []
        if self.masks:
            for row in np.flatnonzero(kept):
                pixels = mask(sample.segmentations[row], (sample.height, sample.width))
                masks.append(letterbox.mask(pixels))
        return image, boxes[kept], sample.labels[kept], masks, letterbox.visible_size

    def _batch(self, index, map_):
        made = [sample for sample, _, _ in map_(self._sample, self.positions[index])]
        height, width = np.max([image.shape[:2] for image, *_ in made], axis=0)
        most = self.data.max_boxes
        if self.masks:
            fullest = max(1, *(len(boxes) for _, boxes, *_ in made))
            most = 1 << (fullest - 1).bit_length()
        images = np.empty((len(made), height, width, 3), "float32")
        images[:] = PADDING
        labels = {
            "boxes": np.zeros((len(made), most, 4), "float32"),
            self.label_key: np.full((len(made), most), -1, "float32"),
        }
        sizes = np.array([size for *_, size in made], "int32")
        if self.masks:
            labels["masks"] = np.zeros((len(made), most, height, width), "uint8")
        if self.sizes:
            labels["sizes"] = sizes
        for row, (image, boxes, classes, masks, _) in enumerate(made):
            images[row, : image.shape[0], : image.shape[1]] = image
            labels["boxes"][row, : len(boxes)] = boxes
            labels[self.label_key][row, : len(boxes)] = classes
            for n, pixels in enumerate(masks):
                labels["masks"][row, n, : pixels.shape[0], : pixels.shape[1]] = pixels
        return {"images": images, "sizes": sizes} if self.named else images, labels


def grouped(order: np.ndarray, wide: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """An order whose batches have images of one kind, but for those that the rests make.

    Args:
        order: `(N,)`.
        wide: bool `(N,)`: which kind each of them is of.
        size: of a batch.
        rng: draws the order of the batches.
    """
    batches, rests = [], []
    for kind in (order[wide], order[~wide]):
        whole = len(kind) // size * size
        batches += list(kind[:whole].reshape(-1, size))
        rests.append(kind[whole:])
    rest = np.concatenate(rests)
    batches += list(rest[: len(rest) // size * size].reshape(-1, size))
    mixed = [batches[n] for n in rng.permutation(len(batches))]
    return np.concatenate([*mixed, rest[len(rest) // size * size :]])
