"""A model whose training steps go through torch's DistributedDataParallel."""

import keras
import torch
from torch.nn.parallel import DistributedDataParallel


class Replica(keras.Model):
    """One process's copy of a model; a Keras model of its own, for Keras's own `fit`.

    In training, a call goes through DistributedDataParallel, which lays hooks on the gradients:
    they are averaged over the processes by the time the optimizer gets them. Saving and loading
    are the model's own, with its optimizer, as if this was not here.

    Args:
        model: built, with what is not to be trained frozen.
        device: that the model is on.
    Attributes:
        model: the model inside.
    """

    def __init__(self, model: keras.Model, device: torch.device):
        super().__init__(name=model.name, dtype=model.dtype_policy)
        self.model = model
        parallel = DistributedDataParallel(
            model, device_ids=[device] if device.type == "cuda" else None
        )
        # Its bound method only: as an attribute, Keras would take the module for a layer.
        self._step = parallel.forward
        self.built = True

    def call(self, x, training=False):
        # No process waits for another here but in training steps, of which all have the same
        # number; batches to validate on may differ.
        return self._step(x, training=True) if training else self.model(x, training=False)

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
