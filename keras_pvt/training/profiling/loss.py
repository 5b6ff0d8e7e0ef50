"""The loss of a training step, as Keras's trainers of TensorFlow and PyTorch compute it."""

from collections.abc import Callable

import keras


def loss_of(model: keras.Model) -> Callable:
    """A function of a batch that gives the loss, as the optimizer scales it.

    Args:
        model: compiled.
    """

    def loss(batch):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        y_pred = model(x, training=True)
        value = model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weights, training=True)
        return model.optimizer.scale_loss(value)

    return loss
