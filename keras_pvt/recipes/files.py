"""The recipes that come with the package, and those of users: TOML files."""

import dataclasses
import difflib
import importlib.resources
import json
import pathlib
import tomllib
from importlib.resources.abc import Traversable
from typing import Any

from keras_pvt.recipes.base import BaseRecipe, types
from keras_pvt.systems import SYSTEMS

# Folders of this package with the recipes that come with it, by what is trained.
FOLDERS = ("classifiers", "detectors", "segmenters")


def names() -> dict[str, list[str]]:
    """Names of the recipes that come with the package: of classifiers, detectors and segmenters."""
    root = importlib.resources.files("keras_pvt.recipes")
    return {
        what: sorted(path.name.removesuffix(".toml") for path in (root / what).iterdir())
        for what in FOLDERS
    }


def recipe_file(name: str) -> Traversable:
    """The file of a recipe.

    Args:
        name: of one that comes with the package, or the path of a `.toml` file.
    Raises:
        ValueError: there is no such recipe.
    """
    if name.endswith(".toml"):
        return pathlib.Path(name)
    known = names()
    for what, listed in known.items():
        if name in listed:
            return importlib.resources.files("keras_pvt.recipes") / what / f"{name}.toml"
    there = "; ".join(f"of {what} {', '.join(listed)}" for what, listed in known.items())
    close = difflib.get_close_matches(name, [one for some in known.values() for one in some], n=1)
    meant = f" (did you mean {close[0]}?)" if close else ""
    raise ValueError(f"there is no recipe {name!r}{meant}; there are {there}; or pass a .toml file")


def recipe_kind(name: str) -> type[BaseRecipe]:
    """The class of a recipe, by the system that it is for.

    Args:
        name: see `recipe_file`.
    Raises:
        ValueError: no such recipe, no TOML, or no system that can be trained.
        OSError: the file cannot be read.
    """
    trained = [one.name for one in SYSTEMS.values() if one.recipe is not None]
    system = _values(name, ()).get("system")
    if system not in trained:
        raise ValueError(
            f"{name} must say what to train: system = one of {', '.join(trained)}, or base = a "
            f"recipe; got {system!r}"
        )
    return SYSTEMS[system].load("recipe")


def load(name: str, **changes: Any) -> Any:
    """A recipe that comes with the package, or one of your own.

    Args:
        name: such as "imagenet_pvt_tiny", or the path of a `.toml` file: "system", fields of its
            kind of recipe, and "base", the recipe whose values hold for all other fields.
        **changes: fields of the recipe to change.
    Returns:
        A `ClassificationRecipe`, `DetectionRecipe` or `SegmentationRecipe`.
    Raises:
        ValueError: no such recipe, an unknown field, or a value that a field cannot have.
        OSError: the file cannot be read.
    """
    return recipe_kind(name)(**{**_checked(name), **changes})


def as_toml(recipe: BaseRecipe) -> str:
    """A recipe as a file that `load` reads, with all its values and what they are."""
    rows = []
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        # A string of JSON is one of TOML, and so are its numbers and truth values.
        rows.append((f"{field.name} = {json.dumps(value)}", field.metadata["help"]))
    width = min(36, max(len(left) for left, _ in rows))
    return "".join(f"{left:<{width}}  # {text}\n" for left, text in rows)


def _values(name: str, seen: tuple[str, ...]) -> dict[str, Any]:
    """Every value of a recipe and of those that it is based on, unchecked."""
    return {key: value for _, fields in _chain(name, seen) for key, value in fields.items()}


def _checked(name: str) -> dict[str, Any]:
    """The same, each of its field's type."""
    allowed = types(recipe_kind(name))
    values: dict[str, Any] = {}
    for source, fields in _chain(name, ()):
        for key, value in fields.items():
            if key not in allowed:
                raise ValueError(
                    f"{source} has {key!r}, which is no option; there are {', '.join(allowed)}"
                )
            if type(value) is int and allowed[key] in (float, str):
                value = allowed[key](value)  # 1 for 1.0, and a size of 224
            elif type(value) is not allowed[key]:
                raise ValueError(f"{source}: {key} must be {allowed[key].__name__}; got {value!r}")
            values[key] = value
    return values


def _chain(name: str, seen: tuple[str, ...]) -> list[tuple[Traversable, dict[str, Any]]]:
    """Files and their values, from that which all are based on to that of the name."""
    if name in seen:
        raise ValueError(f"the recipes {', '.join(seen)} are based on one another in a circle")
    source = recipe_file(name)
    try:
        fields = tomllib.loads(source.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source} is no TOML: {error}") from error
    base = fields.pop("base", None)
    return [*(_chain(base, (*seen, name)) if base else []), (source, fields)]
