"""TensorFlow: the parts of Keras's training step as compiled functions of their own."""

from collections.abc import Callable

import keras
import tensorflow as tf

from keras_pvt.training.profiling.loss import loss_of


def parts(model: keras.Model) -> tuple[Callable, Callable]:
    """See `keras_pvt.training.profiling.on_jax.parts`."""
    loss = loss_of(model)

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
