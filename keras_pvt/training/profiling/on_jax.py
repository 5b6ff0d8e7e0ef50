"""JAX: the parts of Keras's training step as compiled functions of their own."""

from collections.abc import Callable

import jax
import keras


def parts(model: keras.Model) -> tuple[Callable, Callable]:
    """Functions of a batch on the device: the loss alone, and the loss with all gradients.

    They are compiled where the step is, and return when all is computed.

    Args:
        model: has been trained for a step.
    """

    def loss(trainable, others, metrics, optimizer, batch):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        value, (_, _, others, metrics) = model.compute_loss_and_updates(
            trainable, others, metrics, x, y, weights, training=True, optimizer_variables=optimizer
        )
        return value, (others, metrics)  # what is not returned would not be computed

    def ready(function):
        compiled = jax.jit(function) if model.jit_compile and not model.run_eagerly else function

        def run(batch):
            groups = (
                model.trainable_variables,
                model.non_trainable_variables,
                model.metrics_variables,
                model.optimizer.variables,
            )
            values = [[variable.value for variable in group] for group in groups]
            finish(compiled(*values, batch))

        return run

    return ready(loss), ready(jax.value_and_grad(loss, has_aux=True))


def finish(values) -> None:
    """Wait until values are computed."""
    jax.block_until_ready(values)
