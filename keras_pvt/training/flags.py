"""Recipes on the command line: each field is a flag."""

import argparse
import dataclasses
from typing import TypeVar

from keras_pvt.training.recipe import BaseRecipe, flag, types

Kind = TypeVar("Kind", bound=BaseRecipe)


def add_flags(parser: argparse.ArgumentParser, kind: type[BaseRecipe]) -> None:
    """A flag for each field of a kind of recipe; one that is not given is not in the namespace."""
    group = parser.add_argument_group("recipe, each with the recipe's own default")
    kinds = types(kind)
    for field in dataclasses.fields(kind):
        of_kind = kinds[field.name]
        text = field.metadata["help"]
        if of_kind is bool:
            group.add_argument(flag(field.name), action=argparse.BooleanOptionalAction,
                               default=argparse.SUPPRESS, help=text)  # fmt: skip
        else:
            group.add_argument(flag(field.name), type=of_kind, default=argparse.SUPPRESS,
                               metavar=of_kind.__name__.upper(), help=text)  # fmt: skip


def overridden(recipe: Kind, options: argparse.Namespace) -> Kind:
    """The recipe with what the command line says instead.

    Raises:
        ValueError: a value that the field cannot have.
    """
    given = vars(options)
    names = {field.name for field in dataclasses.fields(recipe)}
    return recipe.replace(**{name: given[name] for name in given if name in names})
