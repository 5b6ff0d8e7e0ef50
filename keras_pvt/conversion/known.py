"""What is known of a model before it is built: words of a file, as a model's arguments."""

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Set
from typing import Any

from keras_pvt import systems
from keras_pvt.conversion.description import LARGEST_SIDE, Description
from keras_pvt.variants import PVTConfig

# Arguments that no file has a say in: they read files, or are of the program that loads one.
NOT_FROM_FILES = {"self", "backbone", "input_tensor", "weights", "name", "dtype"}
LONGEST_WORD = 100
# How options of a user say that they are the backbone's.
BACKBONE = "backbone."


@dataclasses.dataclass(frozen=True)
class Known:
    """Arguments of a model, of the types that its constructor takes. What is not there is open.

    Args:
        row: fields of the backbone's `PVTConfig`.
        backbone: arguments of `PVTBackbone`, but for the row and the shape of its input.
        options: further arguments of the system's model.
        sides: (height, width) of the images in pixels, None for what is open; None: not known.
        channels: of the images; None: not known.
    """

    row: Mapping[str, Any]
    backbone: Mapping[str, Any]
    options: Mapping[str, Any]
    sides: tuple[int | None, int | None] | None = None
    channels: int | None = None

    @classmethod
    def of(
        cls, system: systems.System, description: Description | None, given: Mapping[str, Any]
    ) -> "Known":
        """What a description and a user say; a user has the last word.

        Args:
            system: of the model. A description of another system tells of the backbone alone.
            description: from a file, or None.
            given: arguments by their names; of the backbone and of its row as
                "backbone.NAME".

        Raises:
            ValueError: an argument that there is not, or of a type that it does not take.
        """
        backbone = systems.SYSTEMS["backbone"].load("model")
        facts = {} if description is None else dict(description.backbone)
        row = facts.pop("variant", {})
        if not isinstance(row, dict):
            raise ValueError(f"the row of a backbone is a table; got {str(row)[:80]}.")
        row, options = dict(row), {}
        if description is not None and description.system == system.name:
            options = dict(description.options)
        fields = {field.name for field in dataclasses.fields(PVTConfig)}
        for name, value in given.items():
            own = name.removeprefix(BACKBONE)
            place = options if own == name else row if own in fields else facts
            place[own] = value
        taken = checked(backbone, facts, NOT_FROM_FILES | {"variant"})
        height, width, channels = _shape(taken.pop("input_shape", None))
        sides = None if channels is None else (height, width)
        # A classifier is made with the arguments of its backbone, which are those above.
        twice = () if system.names else inspect.signature(backbone.__init__).parameters
        options = checked(system.load("model"), options, NOT_FROM_FILES.union(twice))
        return cls(checked(PVTConfig, row), taken, options, sides, channels)


def checked(
    taker: Callable, values: Mapping[str, Any], but: Set[str] = NOT_FROM_FILES
) -> dict[str, Any]:
    """Values from JSON as arguments: lists become tuples.

    Args:
        taker: a class or function, whose annotations say what it takes; of an argument without
            one, its default does.
        values: by name.
        but: arguments that are not to be given.
    Raises:
        ValueError: an argument that it does not take, or not from a file; another type.
    """
    function: Callable = taker.__init__ if inspect.isclass(taker) else taker  # type: ignore[misc]
    parameters, hints = inspect.signature(function).parameters, typing.get_type_hints(function)
    found = {}
    for name, value in values.items():
        if name not in parameters or name in but:
            raise ValueError(f"{taker.__name__} has no setting {str(name)[:40]!r}.")
        default = parameters[name].default
        hint = hints.get(name, type(None) if default is inspect.Parameter.empty else type(default))
        if not _fits(value, hint):
            raise ValueError(f"`{name}` of {taker.__name__} cannot be {str(value)[:80]}.")
        found[name] = tuple(value) if isinstance(value, list) else value
    return found


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value from JSON is of the type that an annotation says, and no monster."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return any(_fits(value, one) for one in typing.get_args(hint))
    if hint in (tuple, list) or typing.get_origin(hint) in (tuple, list):
        kinds = [kind for kind in typing.get_args(hint) if kind is not Ellipsis]
        of = kinds[0] if kinds else int | None
        items = isinstance(value, list | tuple) and len(value) <= LONGEST_WORD
        return items and all(_fits(item, of) for item in value)
    if hint is float:
        return type(value) in (int, float) and math.isfinite(value)
    if hint is int:
        return type(value) is int and abs(value) < 2**31
    if hint is str:
        return isinstance(value, str) and len(value) <= LONGEST_WORD
    return hint in (bool, type(None)) and type(value) is hint


def _shape(shape: tuple | None) -> tuple[int | None, int | None, int | None]:
    if shape is None:
        return None, None, None
    sides = [side for side in shape if side is not None]
    if len(shape) != 3 or shape[2] is None or not all(0 < n <= LARGEST_SIDE for n in sides):
        raise ValueError(f"`input_shape` of a backbone cannot be {str(shape)[:80]}.")
    return shape
