"""Batches of samples that threads make, in an order that a seed decides."""

import logging

import keras
import numpy as np

from keras_pvt.training.data.batch_sampler import BatchSampler
from keras_pvt.training.data.prefetching import Prefetcher
from keras_pvt.utils.images import ImageError
from keras_pvt.utils.threads import processors

logger = logging.getLogger("keras_pvt")

TRIES = 16  # images in a row that must be unreadable, at least, to be an error

# What random numbers are for: the fourth word of their seed, after that of the order.
AUGMENTING, MIXING = 1, 2


class ShuffledBatches(keras.utils.PyDataset):
    """Batches in an order that is drawn anew for each epoch; the same for the same seed.

    Args:
        count: samples there are.
        batch_size: samples in a batch; a last smaller batch is left out.
        seed: decides what is drawn, together with the epoch.
        first_epoch: where to go on, from 0.
    """

    def __init__(self, count: int, batch_size: int, seed: int, first_epoch: int):
        super().__init__()
        self.count, self.batch_size = count, batch_size
        self.seed, self.epoch = seed, first_epoch
        self._shuffle()

    def __len__(self):
        return self.count // self.batch_size

    def on_epoch_end(self):
        self.epoch += 1
        self._shuffle()

    def _shuffle(self):
        self.order = np.random.default_rng((self.seed, self.epoch)).permutation(self.count)


class ThreadedBatches(ShuffledBatches):
    """Batches whose content the seed and the epoch decide, and nothing else.

    An epoch is a sequence of positions that the processes share, see `BatchSampler`. What is drawn
    for an image depends on its position, not on threads or processes.

    An image that cannot be read is logged once, entered in `skipped`, and the next one of the
    order that can be read takes its place.

    Call `fit` with `shuffle=False`: Keras would take the batches in an order of its own.

    A subclass has `_name`, `_made` and `_batch`.

    Args:
        positions: of an epoch.
        seed: decides the order and what is drawn, together with the epoch.
        first_epoch: where to go on, from 0.
        repeats: neighbouring positions that show the same image.
        workers: threads that read and augment; by default one for each processor.
    Raises:
        ValueError: fewer than one thread. While reading: so many images in a row cannot be read
            as a batch has, at least 16.
    """

    def __init__(
        self,
        positions: BatchSampler,
        seed: int,
        first_epoch: int,
        repeats: int = 1,
        workers: int | None = None,
    ):
        self.positions, self.repeats = positions, repeats
        self.ahead = Prefetcher(processors() if workers is None else workers)
        self.skipped: dict[str, str] = {}  # name to reason
        if self.ahead.threads < 1:
            raise ValueError(f"`workers` must be 1 or more; got {self.ahead.threads}.")
        super().__init__(positions.count, positions.batch_size, seed, first_epoch)

    def __len__(self):
        return len(self.positions)

    def on_epoch_end(self):
        self.ahead.close()  # before the epoch changes; and `fit` may be over
        super().on_epoch_end()

    def __getitem__(self, index):
        return self.ahead.batch(self._batch, index, len(self))

    def _batch(self, index, map_):
        """What `fit` gets for an index; `map_` uses the threads."""
        raise NotImplementedError

    def _name(self, number: int) -> str:
        """What a message calls an image."""
        raise NotImplementedError

    def _made(self, number: int, rng: np.random.Generator):
        """What an image becomes; OSError or ValueError of what reads it if it cannot be read."""
        raise NotImplementedError

    def _generator(self, place, purpose):
        return np.random.default_rng((self.seed, self.epoch, place, purpose))

    def _sample(self, position: int):
        """What fills a position: what was made, the number of the image, and whether it counts."""
        place = position // self.repeats
        tries = min(self.count, max(TRIES, self.batch_size))
        for step in range(tries):
            number = int(self.order[(place + step) % self.count])
            try:
                made = self._made(number, self._generator(position, AUGMENTING))
            except (OSError, ImageError) as error:
                reason = str(error)
                # Of threads that meet the same image, one sets the very string.
                if self.skipped.setdefault(self._name(number), reason) is reason:
                    logger.warning("%s; another image takes its place", reason)
                continue
            return made, number, step == 0 and position < self.count
        raise ValueError(f"{tries} images in a row cannot be read; the last: {reason}")


def stacked(arrays) -> np.ndarray:
    """Arrays of one shape `(...)` as `(B, ...)`.

    Raises:
        ValueError: they have several shapes.
    """
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ValueError(f"`transform` must make arrays of one shape; got {sorted(shapes)}.")
    return np.stack(arrays)
