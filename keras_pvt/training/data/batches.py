"""Batches of labelled images, decoded and augmented by threads, for `fit` on any backend."""

import logging
from collections.abc import Callable

import numpy as np

from keras_pvt.image_files import processors
from keras_pvt.images import ImageError
from keras_pvt.training.augmentation.labels import smooth_labels
from keras_pvt.training.batches import ShuffledBatches
from keras_pvt.training.data.ahead import Ahead
from keras_pvt.training.data.images import Images
from keras_pvt.training.data.positions import Positions

logger = logging.getLogger("keras_pvt")

TRIES = 16  # images in a row that must be unreadable, at least, to be an error

# What random numbers are for: the fourth word of their seed, after that of the order.
AUGMENTING, MIXING = 1, 2


class ImageBatches(ShuffledBatches):
    """Batches whose content the seed and the epoch decide, and nothing else.

    An epoch is a sequence of positions that the processes share, see `Positions`. What is drawn
    for an image depends on its position, not on threads or processes; what `mix` draws, on the
    process as well.

    An image that cannot be read is logged once, entered in `skipped`, and the next one of the
    order that can be read takes its place.

    Call `fit` with `shuffle=False`: Keras would take the batches in an order of its own.

    Args:
        images: the source.
        batch_size: images in a batch of this process.
        transform: of an image uint8 `(H, W, 3)` and a random generator, makes a float32 array of
            the same shape for all.
        classes: width of the labels; by default the number that the source has.
        seed: decides order, augmentation and mixing, together with the epoch.
        first_epoch: where to go on, from 0.
        shuffle: False keeps the order of the source.
        shard: (index, number) of this process among those that train together.
        repeats: neighbouring positions that show the same image, augmented differently. An epoch
            is as long as ever, and so shows 1 / `repeats` of the images. Repeated augmentation,
            arXiv 1902.05509, dealt out to the processes as in DeiT, arXiv 2012.12877.
        mix: of images, labels `(B, classes)` and a random generator, makes both anew.
        smoothing: part of a label that is spread over all classes.
        workers: threads that decode and augment; by default one for each processor.
        last_batch: "drop", "keep" or "pad", see `Positions`. "pad" is for validation, with the
            metrics as `weighted_metrics`.
    Returns:
        For an index images `(B, ...)` and labels `(B, classes)`, float32. With "pad" also weights
        `(B,)`: 0 for what fills up the last batch or stands in for another image, otherwise 1.
    Raises:
        ValueError: arguments out of range, or fewer images than a batch. While reading: so many
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
        self.positions = Positions(len(images), batch_size, shard, last_batch)
        self.images, self.transform, self.mix = images, transform, mix
        self.classes = len(images.classes) if classes is None else classes
        self.shuffle, self.repeats, self.smoothing = shuffle, repeats, smoothing
        self.ahead = Ahead(processors() if workers is None else workers)
        self.skipped: dict[str, str] = {}  # name to reason
        if min(self.ahead.threads, repeats) < 1 or not 0 <= smoothing <= 1:
            raise ValueError(
                "`workers` and `repeats` must be 1 or more and `smoothing` 0 to 1; got "
                f"{self.ahead.threads}, {repeats} and {smoothing}."
            )
        if mix is not None and last_batch == "pad":
            raise ValueError('`mix` would mix in what "pad" fills up with; use "drop".')
        super().__init__(len(images), batch_size, seed, first_epoch)

    def __len__(self):
        return len(self.positions)

    def on_epoch_end(self):
        self.ahead.close()  # before the epoch changes; and `fit` may be over
        super().on_epoch_end()

    def _shuffle(self):
        super()._shuffle()
        if not self.shuffle:
            self.order = np.arange(self.count)

    def __getitem__(self, index):
        return self.ahead.batch(self._batch, index, len(self))

    def _batch(self, index, map_):
        arrays, numbers, weights = zip(*map_(self._sample, self.positions[index]), strict=True)
        shapes = {array.shape for array in arrays}
        if len(shapes) > 1:
            raise ValueError(f"`transform` must make arrays of one shape; got {sorted(shapes)}.")
        images = np.stack(arrays)
        labels = [self.images.label(number) for number in numbers]
        targets = smooth_labels(labels, self.classes, self.smoothing)
        if self.positions.last_batch == "pad":
            return images, targets, np.array(weights, "float32")
        if self.mix is not None:
            rng = self._generator(index, MIXING + self.positions.shard[0])
            return self.mix(images, targets, rng)
        return images, targets

    def _generator(self, place, purpose):
        return np.random.default_rng((self.seed, self.epoch, place, purpose))

    def _sample(self, position: int) -> tuple[np.ndarray, int, bool]:
        """What fills a position: the array, the number of the image, and whether it counts."""
        place = position // self.repeats
        tries = min(self.count, max(TRIES, self.batch_size))
        for step in range(tries):
            number = int(self.order[(place + step) % self.count])
            try:
                array = self._array(number, self._generator(position, AUGMENTING))
            except (OSError, ImageError) as error:
                reason = str(error)
                # Of threads that meet the same image, one sets the very string.
                if self.skipped.setdefault(self.images.name(number), reason) is reason:
                    logger.warning("%s; another image takes its place", reason)
                continue
            return array, number, step == 0 and position < self.count
        raise ValueError(f"{tries} images in a row cannot be read; the last: {reason}")

    def _array(self, number, rng):
        try:
            image = self.images.read(number)
        except ValueError as error:
            raise ImageError(str(error)) from error
        return self.transform(image, rng)
