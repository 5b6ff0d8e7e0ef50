"""What a strategy has to do inside of `fit`."""

from __future__ import annotations

import typing

import keras

if typing.TYPE_CHECKING:
    from keras_pvt.training.distribution.strategy import Strategy


class StrategyCallback(keras.callbacks.Callback):
    """Makes `fit` of several devices and processes what it is on one; see `Strategy.callback`.

    The logs that later callbacks see are those of all processes together.
    """

    def __init__(self, strategy: Strategy, weight: float, val_weight: float):
        super().__init__()
        self.strategy, self.weight, self.val_weight = strategy, weight, val_weight

    def on_train_begin(self, logs=None):
        self.varied = False
        self.strategy.prepare(self.model.optimizer)

    def on_epoch_begin(self, epoch, logs=None):
        # Only now, when other callbacks have restored what they do at the begin of training:
        # it is the seeds of one device that were saved.
        if not self.varied:
            self.strategy.vary_seeds(self.model)
            self.varied = True

    def on_epoch_end(self, epoch, logs=None):
        logs.update(self.strategy.share(logs, self.weight, self.val_weight))
