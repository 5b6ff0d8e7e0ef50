"""PyTorch: the parts of Keras's training step as functions of their own, not compiled, as it is."""

from collections.abc import Callable

import keras
import torch

from keras_pvt.training.profiling.loss import loss_of


def parts(model: keras.Model) -> tuple[Callable, Callable]:
    """See `keras_pvt.training.profiling.on_jax.parts`."""
    loss = loss_of(model)

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
