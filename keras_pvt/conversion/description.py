"""What a checkpoint says of its model beside the weights: what no shape of them tells.

Readers need no Keras, so nothing here imports it. A file's words are checked here for what they
are, and in `keras_pvt.conversion.known` for what a model takes.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_pvt import systems

# In the metadata of a .safetensors file, which map strings to strings.
KEY = "keras_pvt"
VERSION = 1
# Characters: as much as 10,000 long names of classes have.
LARGEST = 1 << 22
LONGEST_NAME = 1000
LARGEST_SIDE = 1 << 15


@dataclasses.dataclass(frozen=True)
class Description:
    """How a model was built, in JSON's types. What is not there is not known.

    Args:
        system: name of the record in `keras_pvt.systems`.
        backbone: arguments of a `PVTBackbone`, of which "variant" is a whole `PVTConfig`.
        options: further arguments of the system's `model`.
        classes: names of what the model tells apart, in the order of its outputs.
        size: (height, width) that `keras_pvt.TrainedModel` has for the model.
    """

    system: str
    backbone: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None

    def text(self) -> str:
        """The description as files hold it.

        Returns:
            JSON in a line.
        """
        return json.dumps({"version": VERSION, **dataclasses.asdict(self)})

    @classmethod
    def from_text(cls, text: Any) -> "Description":
        """The description that a file holds.

        Args:
            text: of the file, JSON.
        Returns:
            The description; its words are not compared with a model yet.
        Raises:
            ValueError: it is no description, or one of a later version.
        """
        if not isinstance(text, str) or len(text) > LARGEST:
            raise ValueError(f"it is no text of at most {LARGEST:,} characters")
        try:
            facts = json.loads(text, object_pairs_hook=unique)
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error
        if not isinstance(facts, dict):
            raise ValueError(f"it is a {type(facts).__name__}, not a table")
        version = facts.pop("version", None)
        if version != VERSION:
            raise ValueError(
                f"it is of version {str(version)[:40]}; this keras_pvt reads {VERSION}"
            )
        unknown = facts.keys() - _FITS.keys()
        if unknown:
            raise ValueError(f"it says {', '.join(sorted(unknown))[:80]!r}, which nobody reads")
        for name, fits in _FITS.items():
            if not fits(facts.get(name, _ABSENT.get(name))):
                raise ValueError(f"its {name} is {str(facts.get(name))[:80]}, which cannot be")
        for name in ("classes", "size"):
            if facts.get(name) is not None:
                facts[name] = tuple(facts[name])
        return cls(**facts)


@dataclasses.dataclass(frozen=True)
class Origin:
    """What kind of file a state dict was read from.

    Args:
        kind: of the file, in words.
        writer: the program that wrote it, with its version where that is said; None: not known.
        part: which state dict of the file it is; None: the only one.
        others: names of the state dicts that are left.
        model: what `save_model` says of the whole model in a `.keras` file; None: nothing.
    """

    kind: str
    writer: str | None = None
    part: str | None = None
    others: tuple[str, ...] = ()
    model: Mapping[str, Any] | None = None


class Checkpoint(dict[str, np.ndarray]):
    """A state dict, and what is known of its model beside the weights.

    Args:
        arrays: by their keys.
        description: of the model; None where nothing is known.
        classes: names of what the model tells apart, in the order of its outputs, where the
            description has none.
        origin: of the file that it was read from; None of any other.
    Attributes:
        source: the file that it was read from; None of any other.
        beside: names of classes that the files beside it have, or None.
    """

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        description: Description | None = None,
        classes: tuple[str, ...] | None = None,
        origin: Origin | None = None,
    ):
        super().__init__(arrays)
        self.description = description
        self.origin = origin
        self.source: str | None = None
        self._classes = classes
        self.beside: tuple[str, ...] | None = None

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of what the model tells apart; None: they are not known."""
        said = None if self.description is None else self.description.classes
        own = self._classes if said is None else said
        return self.beside if own is None else own


def described(state: Mapping[str, np.ndarray]) -> Description | None:
    """What a state dict says of its model; a plain dictionary says nothing."""
    return getattr(state, "description", None)


def named_by(state: Mapping[str, np.ndarray]) -> tuple[str, ...] | None:
    """The names of classes that come with a state dict; a plain dictionary has none."""
    return getattr(state, "classes", None)


def describe(model) -> Description:
    """How a model was built; names of classes it does not tell.

    Names of models and layers, dtype policies and what is frozen are left out: they are no matter
    of the weights.

    Args:
        model: built by keras_pvt.
    Returns:
        The system, and the arguments of its backbone and of itself.
    Raises:
        ValueError: a model that keras_pvt did not build.
    """
    system = systems.of_model(model)
    if system is None:
        of_maps = getattr(model, "pyramid_outputs", None) is not None
        system = systems.SYSTEMS["backbone" if of_maps else "classifier"]
    backbone = systems.SYSTEMS["backbone"]
    facts = {
        "backbone": backbone.load("options")(model),
        "options": {} if system is backbone else system.load("options")(model),
    }
    return Description(system.name, **json.loads(json.dumps(facts)))


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A table of JSON, for `object_pairs_hook`; ValueError where a key is there twice."""
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("it has a key twice")
    return table


def as_table(value: Any) -> dict:
    """A table of JSON or of a pickle as it is, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def is_names(value: Any) -> bool:
    """Whether a value can be the names of classes."""
    return (
        isinstance(value, list | tuple)
        and all(isinstance(name, str) and 0 < len(name) <= LONGEST_NAME for name in value)
        and len(set(value)) == len(value) > 0
    )


def _is_size(value: Any) -> bool:
    sides = value if isinstance(value, list) else ()
    return len(sides) == 2 and all(type(n) is int and 0 < n <= LARGEST_SIDE for n in sides)


_ABSENT: dict[str, Any] = {"backbone": {}, "options": {}}
_FITS: dict[str, Callable[[Any], bool]] = {
    "system": lambda value: isinstance(value, str) and 0 < len(value) <= LONGEST_NAME,
    "backbone": lambda value: isinstance(value, dict),
    "options": lambda value: isinstance(value, dict),
    "classes": lambda value: value is None or is_names(value),
    "size": lambda value: value is None or _is_size(value),
}
