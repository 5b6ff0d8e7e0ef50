"""The learning rate over the steps."""

import math
from collections.abc import Sequence

import keras


@keras.saving.register_keras_serializable(package="keras_pvt")
class WarmUpCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear from 0 to `peak` over `warm_up` steps, then half a cosine to `end` at step `total`.

    Args:
        peak: the highest rate.
        warm_up: steps of rising rate.
        total: steps of the whole run.
        end: the last rate.
    """

    def __init__(self, peak: float, warm_up: int, total: int, end: float = 0.0):
        self.peak, self.warm_up, self.total, self.end = peak, warm_up, total, end

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        rise = (step + 1) / max(1, self.warm_up)
        done = keras.ops.clip((step - self.warm_up) / max(1, self.total - self.warm_up), 0, 1)
        fall = self.end + 0.5 * (self.peak - self.end) * (1 + keras.ops.cos(math.pi * done))
        return keras.ops.minimum(self.peak * rise, fall)

    def get_config(self):
        return {
            "peak": self.peak,
            "warm_up": self.warm_up,
            "total": self.total,
            "end": self.end,
        }


@keras.saving.register_keras_serializable(package="keras_pvt")
class OfficialCosine(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of the official training code: one value an epoch, one epoch late.

    Epoch e has the rate of t = max(e - 1, 0), because that code advances its schedule after an
    epoch, with the number of the epoch that ended. Up to `warm_up_epochs` the rate rises linearly
    from `start` towards `peak`; from there on it follows a cosine over t = 0 to `epochs`, not
    shifted by the warm-up, from `peak` to `end`.

    Args:
        peak: 5e-4 for each 512 images of a batch.
        epochs: of the whole run.
        steps: in an epoch.
        warm_up_epochs: epochs in which the rate rises; the other schedules count steps.
        start: the first rate.
        end: the last rate.
    Source:
        whai362/PVT classification/main.py with the CosineLRScheduler of timm 0.3.2.
    """

    def __init__(
        self,
        peak: float,
        epochs: int,
        steps: int,
        warm_up_epochs: float = 5,
        start: float = 1e-6,
        end: float = 1e-5,
    ):
        self.peak, self.epochs, self.steps = peak, epochs, steps
        self.warm_up_epochs, self.start, self.end = warm_up_epochs, start, end

    def __call__(self, step):
        epoch = keras.ops.floor(keras.ops.cast(step, "float32") / self.steps)
        t = keras.ops.maximum(epoch - 1, 0)
        rise = self.start + t * (self.peak - self.start) / max(self.warm_up_epochs, 1)
        turn = keras.ops.cos(math.pi * keras.ops.minimum(t / self.epochs, 1))
        fall = self.end + 0.5 * (self.peak - self.end) * (1 + turn)
        return keras.ops.where(t < self.warm_up_epochs, rise, fall)

    def get_config(self):
        return {
            name: getattr(self, name)
            for name in ("peak", "epochs", "steps", "warm_up_epochs", "start", "end")
        }

    @classmethod
    def from_config(cls, config):
        if "warm_up" in config:  # in files of 0.1.0
            config = {**config, "warm_up_epochs": config["warm_up"]}
            del config["warm_up"]
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_pvt")
class WarmUpSteps(keras.optimizers.schedules.LearningRateSchedule):
    """Linear to `peak` over `warm_up` steps, then divided by 10 at each step in `drops`.

    Args:
        peak: the highest rate.
        drops: steps from which the rate is a tenth of the one before.
        warm_up: steps of rising rate.
        start: factor of the rate at the first of them.
    Source:
        mmcv 1.3.8 mmcv/runner/hooks/lr_updater.py, StepLrUpdaterHook with `warmup="linear"`.
    """

    def __init__(self, peak: float, drops: Sequence[int], warm_up: int = 0, start: float = 1e-3):
        self.peak, self.drops, self.warm_up, self.start = peak, list(drops), warm_up, start

    def __call__(self, step):
        step = keras.ops.cast(step, "float32")
        left = keras.ops.maximum(1 - step / max(1, self.warm_up), 0) if self.warm_up else 0.0
        rate = self.peak * (1 - left * (1 - self.start))
        for drop in self.drops:
            rate = keras.ops.where(step < drop, rate, 0.1 * rate)
        return rate

    def get_config(self):
        return {name: getattr(self, name) for name in ("peak", "drops", "warm_up", "start")}
