"""Recipes: what a training run is made of, as a small file that people read."""

import dataclasses
import math
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence

from keras_pvt.training.augmentation.transforms import CROPS, Crop
from keras_pvt.variants import VARIANTS

RANGES: dict[str, Callable[[float], bool]] = {
    "above 0": lambda number: 0 < number < math.inf,
    "0 to 1": lambda number: 0 <= number <= 1,
    "0 or more": lambda number: 0 <= number < math.inf,
    "above 0, at most 1": lambda number: 0 < number <= 1,
}


def option(default, text: str):
    """A field of a recipe: its default, and what `--help` says of it."""
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class BaseRecipe:
    """Options of any training run; each is a flag of the program too.

    Attributes:
        package: in which the recipes of this kind lie, as TOML files.
        choices: for a field the words that it takes.
        numbers: for a range of `RANGES` the fields that have to be in it.
    """

    package: typing.ClassVar[str]
    choices: typing.ClassVar[Mapping[str, Iterable[str]]] = {
        "variant": VARIANTS,
        "mixed_precision": ("auto", "none", "bfloat16", "float16"),
        "optimizer": ("adamw", "muon"),
    }
    numbers: typing.ClassVar[Mapping[str, Sequence[str]]] = {
        "above 0": ("batch_size", "learning_rate", "accumulate"),
        "0 to 1": ("drop_path",),
        "0 or more": ("weight_decay", "clip_norm", "warm_up", "end_rate"),
    }

    data: str = option("", "folder that has train/ and val/, or a set such as cifar10")
    variant: str = option("pvt_tiny", "which PVT")
    weights: str = option("", "to start from: a file, or a name such as imagenet")
    batch_size: int = option(32, "images of a step, over all devices")
    seed: int = option(0, "decides initial values, order and augmentation")
    mixed_precision: str = option("auto", "auto, none, bfloat16 or float16")

    optimizer: str = option("adamw", "adamw or muon")
    learning_rate: float = option(1e-4, "the highest")
    warm_up: float = option(0.0, "epochs of rising rate")
    end_rate: float = option(0.0, "learning rate at the end")
    weight_decay: float = option(1e-4, "of matrices and position tables")
    clip_norm: float = option(0.0, "largest norm of the gradient; 0: any")
    accumulate: int = option(1, "steps whose gradients are averaged")
    drop_path: float = option(0.1, "stochastic depth of the last block")
    flip: bool = option(True, "mirror half of the images")

    def __post_init__(self) -> None:
        for kind in type(self).__mro__[-2::-1]:  # of what they have in common first
            for name, allowed in vars(kind).get("choices", {}).items():
                if getattr(self, name) not in allowed:
                    raise ValueError(
                        f"{flag(name)} must be one of {', '.join(allowed)}; got "
                        f"{getattr(self, name)!r}"
                    )
            for words, names in vars(kind).get("numbers", {}).items():
                for name in names:
                    if not RANGES[words](getattr(self, name)):
                        raise ValueError(f"{flag(name)} must be {words}; got {getattr(self, name)}")

    def replace(self, **changes) -> typing.Self:
        return dataclasses.replace(self, **changes)


@dataclasses.dataclass(frozen=True)
class Recipe(BaseRecipe):
    """Options of a classifier's training run; each is a flag of `keras-pvt train` too.

    Source of the meanings: whai362/PVT classification/main.py, whose recipe is DeiT's
    (arXiv 2012.12877).
    """

    package = "keras_pvt.training.recipes"
    choices: typing.ClassVar = {
        "schedule": ("official", "smooth"),
        "crop": CROPS,
        "distillation": ("hard", "soft"),
    }
    numbers: typing.ClassVar = {
        "above 0": ("epochs", "image_size", "repeats"),
        "0 to 1": (
            "erasing", "switch_probability", "mix_probability", "label_smoothing",
            "distillation_weight", "ema",
        ),
        "0 or more": ("frozen_epochs", "mixup", "cutmix", "shift", "learning_rate_batch"),
        "above 0, at most 1": ("layer_decay",),
    }  # fmt: skip

    image_size: int = option(224, "pixels a side")
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

    @property
    def peak_rate(self) -> float:
        """Learning rate after the warm-up, for the images that the weights move by at once."""
        if not self.learning_rate_batch:
            return self.learning_rate
        return self.learning_rate * self.batch_size * self.accumulate / self.learning_rate_batch


def types(kind: type[BaseRecipe]) -> dict[str, type]:
    """bool, int, float or str for each field; str too where a few words are all there are."""
    hints = typing.get_type_hints(kind)
    return {
        field.name: hints[field.name] if isinstance(hints[field.name], type) else str
        for field in dataclasses.fields(kind)
    }


def flag(name: str) -> str:
    """Name of a field on the command line."""
    return f"--{name.replace('_', '-')}"
