"""Batches in an order that a seed decides."""

import keras
import numpy as np


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

    def draw(self, index: int) -> tuple[np.ndarray, np.random.Generator]:
        """The numbers of the samples of a batch, and what its augmentation draws from."""
        rng = np.random.default_rng((self.seed, self.epoch, index))
        return self.order[index * self.batch_size :][: self.batch_size], rng
