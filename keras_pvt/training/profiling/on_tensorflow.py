"""TensorFlow: the parts of Keras's training step as compiled functions of their own."""

from collections.abc import Callable

import keras
import tensorflow as tf


def parts(model: keras.Model) -> tuple[Callable, Callable]:
    """See `keras_pvt.training.profiling.on_jax.parts`."""

    def loss(batch):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        y_pred = model(x, training=True)
        value = model.compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weights, training=True)
        return model.optimizer.scale_loss(value)

    def gradients(batch):
        with tf.GradientTape() as tape:
            value = loss(batch)
        return value, tape.gradient(value, model.trainable_weights)

    def ready(function):
        compiled = function
        if not model.run_eagerly:
            compiled = tf.function(function, jit_compile=model.jit_compile, reduce_retracing=True)

        def run(batch):
            finish(compiled(batch))

        return run

    return ready(loss), ready(gradients)


def finish(values) -> None:
    """Wait until values are computed."""
    tf.test.experimental.sync_devices()
