"""TensorFlow: a replica of the model on each device, by `tf.distribute`."""

import os

import tensorflow as tf

from keras_pvt.training.distribution.strategy import Strategy, seed_states, varied


class Mirrored(Strategy):
    """Each GPU, or logical CPU where there is no GPU, has all weights and a part of the batch."""

    name = "mirrored"

    def __init__(self):
        self.engine = self._engine()
        self.devices = self.engine.num_replicas_in_sync

    def _engine(self) -> tf.distribute.Strategy:
        return tf.distribute.MirroredStrategy([device.name for device in _devices()])

    def scope(self):
        return self.engine.scope()

    def prepare(self, optimizer):
        """Clip the gradient of the whole batch.

        Keras would clip the gradient of each replica, before they are summed.

        Raises:
            ValueError: gradients are to be accumulated, in which Keras fails on several devices.
        """
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # of loss scaling
        if self.devices == 1:
            return
        if optimizer.gradient_accumulation_steps:
            raise ValueError(
                f"Keras cannot accumulate gradients over steps under {self.name}; leave "
                "gradient_accumulation_steps out, or train on JAX or PyTorch."
            )
        if not any((optimizer.clipnorm, optimizer.global_clipnorm, optimizer.clipvalue)):
            return
        clip = type(optimizer)._clip_gradients

        def clip_sum(gradients):
            replica = tf.distribute.get_replica_context()
            total = replica.all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
            # Keras sums what the replicas have, again.
            return [part / self.devices for part in clip(optimizer, total)]

        optimizer._clip_gradients = clip_sum

    def vary_seeds(self, model):
        for state in seed_states(model):
            replicas = self.engine.experimental_local_results(state.value)
            first = replicas[0].numpy()
            for number, replica in enumerate(replicas):
                replica.assign(varied(first, number))


class TPU(Mirrored):
    """Each core of the TPU that TPU_NAME names, by default of this machine's."""

    name = "tpu"

    def _engine(self):
        try:
            resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(
                os.environ.get("TPU_NAME", "local")
            )
        except (ValueError, tf.errors.OpError) as error:
            raise ValueError(f"TensorFlow finds no TPU here: {error}") from error
        return tf.distribute.TPUStrategy(resolver)


STRATEGIES = {strategy.name: strategy for strategy in (Mirrored, TPU)}


def automatic() -> str:
    """See `choose`."""
    if "TPU_NAME" in os.environ or tf.config.list_physical_devices("TPU"):
        return TPU.name
    return Mirrored.name if len(_devices()) > 1 else Strategy.name


def _devices():
    return tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
