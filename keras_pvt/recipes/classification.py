"""Recipes of classifiers."""

import dataclasses
import typing

from keras_pvt.recipes.base import BaseRecipe, option
from keras_pvt.variants import VARIANTS

Crop = typing.Literal["resized", "shift", "none"]
CROPS: tuple[Crop, ...] = typing.get_args(Crop)


@dataclasses.dataclass(frozen=True)
class ClassificationRecipe(BaseRecipe):
    """Options of a classifier's training run; each is a flag of `keras-pvt train` too.

    Source of the meanings: whai362/PVT classification/main.py, whose recipe is DeiT's
    (arXiv 2012.12877).
    """

    choices: typing.ClassVar = {
        "system": ("classifier",),
        "schedule": ("official", "smooth"),
        "crop": CROPS,
        "distillation": ("hard", "soft"),
    }
    numbers: typing.ClassVar = {
        "above 0": ("epochs", "repeats"),
        "0 to 1": (
            "erasing", "switch_probability", "mix_probability", "label_smoothing",
            "distillation_weight", "ema",
        ),
        "0 or more": ("frozen_epochs", "mixup", "cutmix", "shift", "learning_rate_batch"),
        "above 0, at most 1": ("layer_decay",),
    }  # fmt: skip

    system: str = option("classifier", "classifier")
    size: str = option("", "pixels a side that the model sees; empty: as the variant was trained")
    epochs: int = option(300, "passes over the data")
    batch_size: int = option(1024, "images of a step, over all devices")

    learning_rate: float = option(5e-4, "peak, for a batch of learning-rate-batch")
    learning_rate_batch: int = option(512, "that the rate is for, it grows with it; 0: it stays")
    schedule: str = option("official", "official (a rate an epoch) or smooth (each step)")
    warm_up: float = option(5.0, "epochs of rising rate")
    end_rate: float = option(1e-5, "learning rate at the end")
    weight_decay: float = option(0.05, "of matrices and position tables")
    ema: float = option(0.0, "momentum of averaged weights, which then are the result; 0: none")
    layer_decay: float = option(1.0, "factor of the rate from a block to the one before")
    frozen_epochs: float = option(0.0, "epochs in which the head alone learns")

    crop: Crop = option("resized", "resized (random area and ratio), shift or none")
    smallest_area: float = option(0.08, "of a resized crop, of the image")
    shift: int = option(4, "pixels of a random shift")
    rand_augment: str = option("rand-m9-mstd0.5-inc1", "random distortions; empty: none")
    color_jitter: float = option(0.0, "brightness, contrast, saturation, without rand-augment")
    erasing: float = option(0.25, "probability of erasing a box")
    mixup: float = option(0.8, "alpha of MixUp; 0: none")
    cutmix: float = option(1.0, "alpha of CutMix; 0: none")
    switch_probability: float = option(0.5, "of CutMix, where both are on")
    mix_probability: float = option(1.0, "of a batch being mixed at all")
    label_smoothing: float = option(0.1, "share of a label that all classes get")
    repeats: int = option(1, "differently augmented copies of an image in an epoch")

    teacher: str = option("", "a .keras file of logits to learn from")
    distillation: str = option("hard", "hard (the teacher's class) or soft (its distribution)")
    distillation_weight: float = option(0.5, "share of the teacher in the loss")
    temperature: float = option(1.0, "of soft distillation")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size and len(set(self.sides())) == 2:
            raise ValueError(f"--size must be that of a square, such as 224; got {self.size!r}")

    @property
    def side(self) -> int:
        """Pixels a side of what the model sees."""
        return self.sides()[0] if self.size else VARIANTS[self.variant].image_size

    @property
    def peak_rate(self) -> float:
        """Learning rate after the warm-up, for the images that the weights move by at once."""
        if not self.learning_rate_batch:
            return self.learning_rate
        return self.learning_rate * self.batch_size * self.accumulate / self.learning_rate_batch
