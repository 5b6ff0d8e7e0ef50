"""Recipes: what a training run is made of, as a small file that people read."""

import dataclasses
import math
import typing
from collections.abc import Callable, Iterable, Sequence

from keras_pvt.training.augmentation.transforms import CROPS, Crop
from keras_pvt.variants import VARIANTS


def _option(default, text: str):
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Options of a training run; each is a flag of `keras-pvt train` too.

    Source of the meanings: whai362/PVT classification/main.py, whose recipe is DeiT's
    (arXiv 2012.12877).
    """

    data: str = _option("", "folder that has train/ and val/, or a set such as cifar10")
    variant: str = _option("pvt_tiny", "which PVT")
    weights: str = _option("", "to start from: a file, or a name such as imagenet")
    image_size: int = _option(224, "pixels a side")
    epochs: int = _option(300, "passes over the data")
    batch_size: int = _option(1024, "images of a step, over all devices")
    seed: int = _option(0, "decides initial values, order and augmentation")
    mixed_precision: str = _option("auto", "auto, none, bfloat16 or float16")

    optimizer: str = _option("adamw", "adamw or muon")
    learning_rate: float = _option(5e-4, "peak, for a batch of learning-rate-batch")
    learning_rate_batch: int = _option(512, "that the rate is for, it grows with it; 0: it stays")
    schedule: str = _option("official", "official (a rate an epoch) or smooth (each step)")
    warm_up: float = _option(5.0, "epochs of rising rate")
    end_rate: float = _option(1e-5, "learning rate at the end")
    weight_decay: float = _option(0.05, "of matrices and position tables")
    clip_norm: float = _option(0.0, "largest norm of the gradient; 0: any")
    accumulate: int = _option(1, "steps whose gradients are averaged")
    ema: float = _option(0.0, "momentum of averaged weights, which then are the result; 0: none")
    layer_decay: float = _option(1.0, "factor of the rate from a block to the one before")
    frozen_epochs: float = _option(0.0, "epochs in which the head alone learns")
    drop_path: float = _option(0.1, "stochastic depth of the last block")

    crop: Crop = _option("resized", "resized (random area and ratio), shift or none")
    smallest_area: float = _option(0.08, "of a resized crop, of the image")
    shift: int = _option(4, "pixels of a random shift")
    flip: bool = _option(True, "mirror half of the images")
    rand_augment: str = _option("rand-m9-mstd0.5-inc1", "random distortions; empty: none")
    color_jitter: float = _option(0.0, "brightness, contrast, saturation, without rand-augment")
    erasing: float = _option(0.25, "probability of erasing a box")
    mixup: float = _option(0.8, "alpha of MixUp; 0: none")
    cutmix: float = _option(1.0, "alpha of CutMix; 0: none")
    switch_probability: float = _option(0.5, "of CutMix, where both are on")
    mix_probability: float = _option(1.0, "of a batch being mixed at all")
    label_smoothing: float = _option(0.1, "share of a label that all classes get")
    repeats: int = _option(1, "differently augmented copies of an image in an epoch")

    teacher: str = _option("", "a .keras file of logits to learn from")
    distillation: str = _option("hard", "hard (the teacher's class) or soft (its distribution)")
    distillation_weight: float = _option(0.5, "share of the teacher in the loss")
    temperature: float = _option(1.0, "of soft distillation")

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_numbers()

    def _check_choices(self) -> None:
        choices: dict[str, Iterable[str]] = {
            "variant": VARIANTS,
            "mixed_precision": ("auto", "none", "bfloat16", "float16"),
            "optimizer": ("adamw", "muon"),
            "schedule": ("official", "smooth"),
            "crop": CROPS,
            "distillation": ("hard", "soft"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{flag(name)} must be one of {', '.join(allowed)}; got {getattr(self, name)!r}"
                )

    def _check_numbers(self) -> None:
        ranges: dict[str, tuple[Callable[[float], bool], Sequence[str]]] = {
            "above 0": (
                lambda number: 0 < number < math.inf,
                ("epochs", "batch_size", "image_size", "learning_rate", "accumulate", "repeats"),
            ),
            "0 to 1": (
                lambda number: 0 <= number <= 1,
                ("drop_path", "erasing", "switch_probability", "mix_probability",
                 "label_smoothing", "distillation_weight", "ema"),
            ),
            "0 or more": (
                lambda number: 0 <= number < math.inf,
                ("warm_up", "end_rate", "weight_decay", "clip_norm", "frozen_epochs",
                 "mixup", "cutmix", "shift", "learning_rate_batch"),
            ),
            "above 0, at most 1": (lambda number: 0 < number <= 1, ("layer_decay",)),
        }  # fmt: skip
        for words, (fits, names) in ranges.items():
            for name in names:
                if not fits(getattr(self, name)):
                    raise ValueError(f"{flag(name)} must be {words}; got {getattr(self, name)}")

    @property
    def peak_rate(self) -> float:
        """Learning rate after the warm-up, for the images that the weights move by at once."""
        if not self.learning_rate_batch:
            return self.learning_rate
        return self.learning_rate * self.batch_size * self.accumulate / self.learning_rate_batch

    def replace(self, **changes) -> "Recipe":
        return dataclasses.replace(self, **changes)


def types() -> dict[str, type]:
    """bool, int, float or str for each field; str too where a few words are all there are."""
    hints = typing.get_type_hints(Recipe)
    return {name: hint if isinstance(hint, type) else str for name, hint in hints.items()}


def flag(name: str) -> str:
    """Name of a field on the command line."""
    return f"--{name.replace('_', '-')}"
