"""Recipes: what a training run is made of, as a small file that people read."""

import dataclasses
import math
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence

from keras_pvt.utils.sizes import parse_size
from keras_pvt.variants import VARIANTS

RANGES: dict[str, Callable[[float], bool]] = {
    "above 0": lambda number: 0 < number < math.inf,
    "0 to 1": lambda number: 0 <= number <= 1,
    "0 or more": lambda number: 0 <= number < math.inf,
    "above 0, at most 1": lambda number: 0 < number <= 1,
    "0 or more, below 1": lambda number: 0 <= number < 1,
}


def option(default, text: str, decides: bool = True):
    """A field of a recipe: its default, what `--help` says, and whether it decides the result; one
    that does not may be another when a run is resumed.

    The default of a new option must be what was done before there was one: runs that earlier
    versions started are resumed with it."""
    return dataclasses.field(default=default, metadata={"help": text, "decides": decides})


@dataclasses.dataclass(frozen=True)
class BaseRecipe:
    """Options of any training run; each is a flag of `keras-pvt train` too.

    Attributes:
        choices: for a field the words that it takes.
        numbers: for a range of `RANGES` the fields that have to be in it.
        length: the field that says how long the run is.
    """

    choices: typing.ClassVar[Mapping[str, Iterable[str]]] = {
        "variant": VARIANTS,
        "mixed_precision": ("auto", "none", "bfloat16", "float16"),
        "optimizer": ("adamw", "muon"),
    }
    numbers: typing.ClassVar[Mapping[str, Sequence[str]]] = {
        "above 0": ("batch_size", "learning_rate", "accumulate"),
        "0 to 1": ("drop_path",),
        "0 or more": ("weight_decay", "clip_norm", "warm_up", "end_rate"),
        "0 or more, below 1": ("val_split",),
    }
    length: typing.ClassVar[str] = "epochs"

    system: str = option("", "what to train")
    data: str = option("", "folder with train/ and val/, or a data set such as cifar10")
    val_split: float = option(
        0.2, "share of the data to validate on, if they have no validation split"
    )
    variant: str = option("pvt_tiny", "variant of PVT")
    weights: str = option(
        "",
        "initial weights: a file, a name, hf://OWNER/NAME, pretrained (the variant's own), or none",
    )
    load_from: str = option(
        "",
        "trained model of the same kind to start from, with its neck and head: a file or "
        "hf://OWNER/NAME; for another number of classes the last layers start anew, for another "
        "number of queries those",
    )
    batch_size: int = option(32, "images in a step, on all devices together")
    seed: int = option(0, "seed of initial values, order and augmentation")
    mixed_precision: str = option("auto", "precision: auto, none, bfloat16 or float16")
    collapse_check: bool = option(
        True,
        "stop a classifier or segmenter whose loss returns to that of guessing",
        decides=False,
    )

    optimizer: str = option("adamw", "optimizer: adamw or muon")
    learning_rate: float = option(1e-4, "peak learning rate")
    warm_up: float = option(0.0, "epochs (or a fraction of one) in which the learning rate rises")
    end_rate: float = option(0.0, "learning rate at the end")
    weight_decay: float = option(1e-4, "weight decay of matrices and position tables")
    clip_norm: float = option(0.0, "largest norm of the gradient; 0: no clipping")
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

    def sides(self, name: str = "size") -> tuple[int, int]:
        """Height and width in pixels that a field gives as "224" or "480x640".

        Raises:
            ValueError: it is neither.
        """
        try:
            return parse_size(getattr(self, name))
        except ValueError as error:
            raise ValueError(f"{flag(name)} {error}") from None

    def decisive(self) -> dict[str, typing.Any]:
        """The values of the fields that decide the result."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["decides"]
        }

    @classmethod
    def defaults(cls) -> dict[str, typing.Any]:
        """The default of each field."""
        return {field.name: field.default for field in dataclasses.fields(cls)}

    def replace(self, **changes) -> typing.Self:
        return dataclasses.replace(self, **changes)


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
