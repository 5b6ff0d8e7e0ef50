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
    size: str = option("", "image size in pixels; empty: the variant's training size")
    epochs: int = option(300, "passes over the data")
    batch_size: int = option(1024, "images in a step, on all devices together")

    learning_rate: float = option(5e-4, "peak learning rate for a batch of learning-rate-batch")
    learning_rate_batch: int = option(
        512, "batch that learning-rate is for; the rate scales with the batch; 0: no scaling"
    )
    schedule: str = option(
        "official", "official (a learning rate for each epoch) or smooth (for each step)"
    )
    warm_up: float = option(5.0, "epochs in which the learning rate rises")
    end_rate: float = option(1e-5, "learning rate at the end")
    weight_decay: float = option(0.05, "weight decay of matrices and position tables")
    ema: float = option(
        0.0, "momentum of the moving average of weights, which is then the result; 0: none"
    )
    layer_decay: float = option(1.0, "factor of the learning rate from a block to the one before")
    frozen_epochs: float = option(0.0, "first epochs, in which only the head is trained")

    crop: Crop = option("resized", "random crop: resized (random area and ratio), shift or none")
    smallest_area: float = option(0.08, "smallest area of a resized crop, as a share of the image")
    shift: int = option(4, "largest random shift in pixels")
    rand_augment: str = option("rand-m9-mstd0.5-inc1", "RandAugment, as in timm; empty: none")
    color_jitter: float = option(
        0.0, "strength of changes of brightness, contrast, saturation; only without rand-augment"
    )
    erasing: float = option(0.25, "probability of erasing a box")
    mixup: float = option(0.8, "alpha of MixUp; 0: none")
    cutmix: float = option(1.0, "alpha of CutMix; 0: none")
    switch_probability: float = option(
        0.5, "probability of CutMix instead of MixUp, if both are on"
    )
    mix_probability: float = option(1.0, "probability that a batch is mixed at all")
    label_smoothing: float = option(0.1, "share of a label that is spread over all classes")
    repeats: int = option(1, "differently augmented copies of an image in an epoch")

    teacher: str = option("", "a .keras file whose logits are learnt from")
    distillation: str = option("hard", "hard (the teacher's class) or soft (its distribution)")
    distillation_weight: float = option(0.5, "share of the teacher in the loss")
    temperature: float = option(1.0, "temperature of soft distillation")

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
