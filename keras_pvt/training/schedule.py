"""The learning rate over the steps."""

import math

import keras


@keras.saving.register_keras_serializable(package="keras_pvt")
class WarmUpCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear from 0 to `peak` over `warm_up` steps, then half a cosine to 0 at step `total`."""

    def __init__(self, peak: float, warm_up: int, total: int):
        self.peak, self.warm_up, self.total = peak, warm_up, total

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rise = (step + 1) / max(1, self.warm_up)
        done = keras.ops.clip((step - self.warm_up) / max(1, self.total - self.warm_up), 0, 1)
        fall = 0.5 * (1 + keras.ops.cos(math.pi * done))
        return self.peak * keras.ops.minimum(rise, fall)

    def get_config(self):
        return {"peak": self.peak, "warm_up": self.warm_up, "total": self.total}
