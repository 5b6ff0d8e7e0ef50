"""The recipes that come with the package, and those of users: TOML files."""

import importlib.resources
import pathlib
import tomllib
from importlib.resources.abc import Traversable

from keras_pvt.training.recipe import Recipe, types

FOLDER = importlib.resources.files(__name__)


def names() -> list[str]:
    """Recipes that come with the package."""
    return sorted(
        path.name.removesuffix(".toml") for path in FOLDER.iterdir() if path.name.endswith(".toml")
    )


def load(name: str) -> Recipe:
    """A recipe that comes with the package, or one of your own.

    Args:
        name: such as "imagenet_pvt_tiny", or the path of a `.toml` file: fields of `Recipe`, and
            "base", the recipe whose values hold for all others.
    Raises:
        ValueError: no such recipe, or a field that is none, or a value that it cannot have.
    """
    return Recipe(**_fields(name, ()))


def _fields(name: str, seen: tuple[str, ...]) -> dict:
    if name in seen:
        raise ValueError(f"the recipes {', '.join(seen)} are based on one another in a circle")
    if name.endswith(".toml"):
        source: Traversable = pathlib.Path(name)
    elif name in names():
        source = FOLDER / f"{name}.toml"
    else:
        raise ValueError(
            f"there is no recipe {name!r}; there are {', '.join(names())}, or pass a .toml file"
        )
    try:
        fields = tomllib.loads(source.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{source} is no TOML: {error}") from error
    kinds = types()
    for key, value in fields.items():
        if key == "base":
            continue
        if key not in kinds:
            raise ValueError(
                f"{source} has {key!r}, which is no option; see keras-pvt train --help"
            )
        if kinds[key] is float and type(value) is int:
            fields[key] = float(value)
        elif type(value) is not kinds[key]:
            raise ValueError(f"{source}: {key} must be {kinds[key].__name__}; got {value!r}")
    base = fields.pop("base", None)
    return {**(_fields(base, (*seen, name)) if base else {}), **fields}
