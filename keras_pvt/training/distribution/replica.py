"""A model whose training steps go through torch's DistributedDataParallel."""

import keras
import torch
from torch.nn.parallel import DistributedDataParallel


class Replica(keras.Model):
    """One process's copy of a model; a Keras model of its own, for Keras's own `fit`.

    In training, a call goes through DistributedDataParallel, which lays hooks on the gradients:
    they are averaged over the processes by the time the optimizer gets them. Saving and loading
    are the model's own, with its optimizer, as if this was not here.

    A model with a `compute_loss` of its own, which may use more of its weights than a call does,
    computes all in one such call.

    Args:
        model: built, with what is not to be trained frozen.
        device: that the model is on.
    Attributes:
        model: the model inside.
    """

    def __init__(self, model: keras.Model, device: torch.device):
        super().__init__(name=model.name, dtype=model.dtype_policy)
        self.model = model
        self._has_loss = type(model).compute_loss is not keras.Model.compute_loss
        parallel = DistributedDataParallel(
            _Loss(model) if self._has_loss else model,
            device_ids=[device] if device.type == "cuda" else None,
            # A detector's heads may have nothing to learn from a batch.
            find_unused_parameters=self._has_loss,
        )
        # Its bound method only: as an attribute, Keras would take the module for a layer.
        self._step = parallel.forward
        self.built = True

    def call(self, x, training=False):
        # No process waits for another here but in training steps, of which all have the same
        # number; batches to validate on may differ.
        if training and self._has_loss:
            return x  # to `compute_loss`
        return self._step(x, training=True) if training else self.model(x, training=False)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if self._has_loss and training:
            return self._step(x, y, sample_weight)
        if self._has_loss:
            return self.model.compute_loss(x, y, y_pred, sample_weight, training=False)
        return super().compute_loss(x, y, y_pred, sample_weight, training=training)

    @property
    def metrics(self):
        own = super().metrics
        if not self._has_loss:
            return own
        names = {metric.name for metric in own}
        return own + [metric for metric in self.model.metrics if metric.name not in names]

    def compile(self, optimizer="rmsprop", *args, **kwargs):
        super().compile(optimizer, *args, **kwargs)
        # The same optimizer, which is saved with the model.
        self.model.compile(self.optimizer, *args, **kwargs)

    def save(self, *args, **kwargs):
        return self.model.save(*args, **kwargs)

    def save_weights(self, *args, **kwargs):
        return self.model.save_weights(*args, **kwargs)

    def load_weights(self, *args, **kwargs):
        return self.model.load_weights(*args, **kwargs)


class _Loss(torch.nn.Module):
    """The loss of a model that computes its own, from images and labels."""

    def __init__(self, model: keras.Model):
        super().__init__()
        self.model = model

    def forward(self, x, y, sample_weight):
        y_pred = self.model(x, training=True)
        return self.model.compute_loss(x, y, y_pred, sample_weight, training=True)
