"""PyTorch: the parts of Keras's training step as functions of their own, not compiled, as it is."""

from collections.abc import Callable

import keras
import torch


def parts(model: keras.Model) -> tuple[Callable, Callable]:
    """See `keras_pvt.training.profiling.on_jax.parts`."""

    def loss(batch):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        y_pred = model(x, training=True)
        value = model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weights, training=True)
        return model.optimizer.scale_loss(value)

    def forward(batch):
        finish(loss(batch))

    def gradients(batch):
        model.zero_grad()
        finish(loss(batch).backward())

    return forward, gradients


def finish(values) -> None:
    """Wait until values are computed."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
