"""Recipes on the command line: each field is a flag."""

import argparse
import dataclasses
from typing import TypeVar

from keras_pvt.recipes.base import BaseRecipe, flag, types

Kind = TypeVar("Kind", bound=BaseRecipe)


def add_flags(parser: argparse.ArgumentParser, recipe: BaseRecipe) -> None:
    """A flag for each field of a recipe, whose value its help shows.

    A flag that is not given is not in the namespace.
    """
    group = parser.add_argument_group("options of the recipe")
    kinds = types(type(recipe))
    for field in dataclasses.fields(recipe):
        of_kind = kinds[field.name]
        text = f"{field.metadata['help']} (default: {_shown(recipe, field.name)})"
        text = text.replace("%", "%%")  # which argparse would format
        if of_kind is bool:
            group.add_argument(flag(field.name), action=argparse.BooleanOptionalAction,
                               default=argparse.SUPPRESS, help=text)  # fmt: skip
        else:
            group.add_argument(flag(field.name), type=of_kind, default=argparse.SUPPRESS,
                               metavar=of_kind.__name__.upper(), help=text)  # fmt: skip


def _shown(recipe: BaseRecipe, name: str) -> str:
    """The value of a field, as the help shows it."""
    value = getattr(recipe, name)
    if isinstance(value, bool):
        return flag(name if value else f"no_{name}")
    return "empty" if value == "" else str(value)


def overridden(recipe: Kind, options: argparse.Namespace) -> Kind:
    """The recipe with what the command line says instead.

    Raises:
        ValueError: a value that the field cannot have.
    """
    given = vars(options)
    names = {field.name for field in dataclasses.fields(recipe)}
    return recipe.replace(**{name: given[name] for name in given if name in names})
