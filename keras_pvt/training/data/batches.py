"""Batches of labelled images, decoded and augmented by threads, for `fit` on any backend."""

from collections.abc import Callable

import numpy as np

from keras_pvt.training.augmentation.mixing import smooth_labels
from keras_pvt.training.data.batch_sampler import BatchSampler
from keras_pvt.training.data.images import Images
from keras_pvt.training.data.threaded import MIXING, ThreadedBatches, stacked
from keras_pvt.utils.images import ImageError


class ImageBatches(ThreadedBatches):
    """Batches of images and labels for `fit`, read and augmented by threads.

    The seed and the epoch decide the order and what is drawn for each image, whatever the number
    of threads and processes; what `mix` draws depends on the process as well. An image that cannot
    be read is logged once, added to `skipped`, and replaced by another. Pass `shuffle=False` to
    `fit`: otherwise Keras changes the order of the batches.

    Args:
        images: the source.
        batch_size: images in a batch of this process.
        transform: function of an image uint8 `(H, W, 3)` and a random generator; returns a float32
            array, of the same shape for all images.
        classes: width of the labels; by default the number that the source has.
        seed: decides order, augmentation and mixing, together with the epoch.
        first_epoch: epoch to start with, from 0.
        shuffle: False keeps the order of the source.
        shard: (index, number) of this process among those that train together.
        repeats: neighbouring positions that show the same image, augmented differently. An epoch
            keeps its length, so it shows 1 / `repeats` of the images. Repeated augmentation, arXiv
            1902.05509, dealt out to the processes as in DeiT, arXiv 2012.12877.
        mix: function of images, labels `(B, classes)` and a random generator; returns new images
            and labels.
        smoothing: part of a label that is spread over all classes.
        workers: threads that decode and augment; by default one for each processor.
        last_batch: "drop" leaves out images that make no whole batch, "keep" makes a smaller
            batch of them (one process only), "pad" fills it up. "pad" is for validation, with
            the metrics as `weighted_metrics`; the loss that Keras shows is then too low, as it
            is divided by what fills up too.
    Returns:
        For an index images `(B, ...)` and labels `(B, classes)`, float32. With "pad" also weights
        `(B,)`: 0 for what fills up the last batch or stands in for another image, otherwise 1.
    Raises:
        ValueError: arguments out of range, or fewer images than a batch. In `fit`: as many
            images in a row cannot be read as a batch has, at least 16.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        transform: Callable[[np.ndarray, np.random.Generator], np.ndarray],
        *,
        classes: int | None = None,
        seed: int = 0,
        first_epoch: int = 0,
        shuffle: bool = True,
        shard: tuple[int, int] = (0, 1),
        repeats: int = 1,
        mix: Callable[..., tuple[np.ndarray, np.ndarray]] | None = None,
        smoothing: float = 0.0,
        workers: int | None = None,
        last_batch: str = "drop",
    ):
        self.images, self.transform, self.mix = images, transform, mix
        self.classes = len(images.classes) if classes is None else classes
        self.shuffle, self.smoothing = shuffle, smoothing
        if repeats < 1 or not 0 <= smoothing <= 1:
            raise ValueError(
                "`repeats` must be 1 or more and `smoothing` 0 to 1; got "
                f"{repeats} and {smoothing}."
            )
        if mix is not None and last_batch == "pad":
            raise ValueError('`mix` would mix in what "pad" fills up with; use "drop".')
        positions = BatchSampler(len(images), batch_size, shard, last_batch)
        super().__init__(positions, seed, first_epoch, repeats, workers)

    def _shuffle(self):
        super()._shuffle()
        if not self.shuffle:
            self.order = np.arange(self.count)

    def _batch(self, index, map_):
        arrays, numbers, weights = zip(*map_(self._sample, self.positions[index]), strict=True)
        images = stacked(arrays)
        labels = [self.images.label(number) for number in numbers]
        targets = smooth_labels(labels, self.classes, self.smoothing)
        if self.positions.last_batch == "pad":
            return images, targets, np.array(weights, "float32")
        if self.mix is not None:
            rng = self._generator(index, MIXING + self.positions.shard[0])
            return self.mix(images, targets, rng)
        return images, targets

    def _name(self, number):
        return self.images.name(number)

    def _made(self, number, rng):
        try:
            image = self.images.read(number)
        except ValueError as error:
            raise ImageError(str(error)) from error
        return self.transform(image, rng)
