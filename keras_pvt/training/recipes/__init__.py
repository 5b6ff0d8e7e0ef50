"""The recipes that come with the package, and those of users: TOML files."""

import importlib.resources
import pathlib
import tomllib
from importlib.resources.abc import Traversable
from typing import TypeVar

from keras_pvt.training.recipe import BaseRecipe, types

Kind = TypeVar("Kind", bound=BaseRecipe)


def folder(kind: type[BaseRecipe]) -> Traversable:
    """Where the recipes of a kind lie."""
    return importlib.resources.files(kind.package)


def names(kind: type[BaseRecipe]) -> list[str]:
    """Recipes of a kind that come with the package."""
    files = [path.name for path in folder(kind).iterdir()]
    return sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml"))


def load(name: str, kind: type[Kind]) -> Kind:
    """A recipe that comes with the package, or one of your own.

    Args:
        name: such as "imagenet_pvt_tiny", or the path of a `.toml` file: fields of `kind`, and
            "base", the recipe whose values hold for all others.
        kind: `Recipe`, of a classifier, or that of another system.
    Raises:
        ValueError: no such recipe, or a field that is none, or a value that it cannot have.
    """
    return kind(**_fields(name, kind, ()))


def _fields(name: str, kind: type[BaseRecipe], seen: tuple[str, ...]) -> dict:
    if name in seen:
        raise ValueError(f"the recipes {', '.join(seen)} are based on one another in a circle")
    if name.endswith(".toml"):
        source: Traversable = pathlib.Path(name)
    elif name in names(kind):
        source = folder(kind) / f"{name}.toml"
    else:
        raise ValueError(
            f"there is no recipe {name!r}; there are {', '.join(names(kind))}, or pass a .toml file"
        )
    try:
        fields = tomllib.loads(source.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source} is no TOML: {error}") from error
    allowed = types(kind)
    for key, value in fields.items():
        if key == "base":
            continue
        if key not in allowed:
            raise ValueError(
                f"{source} has {key!r}, which is no option; there are {', '.join(allowed)}"
            )
        if allowed[key] is float and type(value) is int:
            fields[key] = float(value)
        elif type(value) is not allowed[key]:
            raise ValueError(f"{source}: {key} must be {allowed[key].__name__}; got {value!r}")
    base = fields.pop("base", None)
    return {**(_fields(base, kind, (*seen, name)) if base else {}), **fields}
