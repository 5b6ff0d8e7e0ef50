"""The moving average of the weights, by updates."""

from collections.abc import Sequence

import keras


class AveragedByUpdates(keras.optimizers.Optimizer):
    """Averages the weights after each update of them, as timm does.

    With `gradient_accumulation_steps`, Keras 3.15 averages after each batch, also while the weights
    stay as they are: with 4 steps a momentum of 0.9999 becomes one of 0.9996. List this class
    before the optimizer of Keras in the bases.
    """

    def _update_model_variables_moving_average(
        self, trainable_variables: Sequence[keras.Variable]
    ) -> None:
        steps = self.gradient_accumulation_steps
        if not steps:
            super()._update_model_variables_moving_average(trainable_variables)
            return
        ops = keras.ops
        updated = ops.equal((self._iterations + 1) % steps, 0)
        momentum = ops.where(updated, self.ema_momentum, 1.0)
        # Up to the first update the average is what the weights are.
        momentum = ops.where(ops.equal(self.iterations, 0), 0.0, momentum)
        averages = self._model_variables_moving_average
        for variable, average in zip(trainable_variables, averages, strict=True):
            if average is not None:
                kept = ops.cast(momentum, variable.dtype)
                average.assign(kept * average + (1 - kept) * variable)
