"""Batches of images and labels, read and augmented by threads, for `fit` on any backend."""

from collections.abc import Callable

import numpy as np

from keras_pvt.segmentation.data.samples import SegmentationSet
from keras_pvt.training.data.batch_sampler import BatchSampler
from keras_pvt.training.data.threaded import ThreadedBatches, stacked


class SegmentationBatches(ThreadedBatches):
    """Batches of images and labels, read and augmented by threads.

    Args:
        data: the samples.
        batch_size: images in a batch of this process.
        transform: of an image uint8 `(H, W, 3)`, labels uint8 `(H, W)` and a random generator,
            makes both anew, of one size for all; see `TrainTransform`.
        seed: decides order and augmentation, together with the epoch.
        first_epoch: where to go on, from 0.
        steps: batches in an epoch; then an epoch goes on in the order where the last one ended,
            so that every image is seen as often. By default as many as one order has.
        shard: (index, number) of this process among those that train together.
        workers: threads that read and augment; by default one for each processor.
    Returns:
        For an index images `(B, H, W, 3)` float32 and labels `(B, H, W)` int32.
    Raises:
        ValueError: arguments out of range, or, without `steps`, fewer images than a batch. While
            reading: see `ThreadedBatches`.
    """

    def __init__(
        self,
        data: SegmentationSet,
        batch_size: int,
        transform: Callable[
            [np.ndarray, np.ndarray, np.random.Generator], tuple[np.ndarray, np.ndarray]
        ],
        *,
        seed: int = 0,
        first_epoch: int = 0,
        steps: int | None = None,
        shard: tuple[int, int] = (0, 1),
        workers: int | None = None,
    ):
        if steps is not None and steps < 1:
            raise ValueError(f"`steps` must be 1 or more; got {steps}.")
        self.data, self.transform, self.steps = data, transform, steps
        count = len(data) if steps is None else steps * batch_size * shard[1]
        super().__init__(BatchSampler(count, batch_size, shard), seed, first_epoch, workers=workers)

    def _shuffle(self):
        if self.steps is None:
            super()._shuffle()
            return
        first, images = self.epoch * self.count, len(self.data)
        last = first + self.count
        orders = [
            np.random.default_rng((self.seed, number)).permutation(images)
            for number in range(first // images, -(-last // images))
        ]
        self.order = np.concatenate(orders)[first % images :][: self.count]

    def _batch(self, index, map_):
        made, _, _ = zip(*map_(self._sample, self.positions[index]), strict=True)
        images, labels = (stacked(arrays) for arrays in zip(*made, strict=True))
        return images, labels.astype("int32")

    def _name(self, number):
        return self.data.name(number)

    def _made(self, number, rng):
        return self.transform(self.data.image(number), self.data.labels(number), rng)
