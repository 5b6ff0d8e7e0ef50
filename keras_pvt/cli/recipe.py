"""The recipe that `keras-pvt train` and `profile` take: RECIPE, and its options."""

import argparse
import textwrap

from keras_pvt.recipes import files
from keras_pvt.recipes.flags import add_flags

LISTED = "\n".join(
    textwrap.fill(", ".join(names), 100, initial_indent=f"  {what:<13}", subsequent_indent=" " * 15)
    for what, names in files.names().items()
)


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """RECIPE, which `add_options` reads before the other words are parsed."""
    parser.add_argument(
        "recipe", metavar="RECIPE", help="name of a recipe, or a .toml file; it must come first"
    )


def add_in_memory(parser: argparse.ArgumentParser) -> None:
    """Whether images are decoded once."""
    parser.add_argument(
        "--in-memory",
        action="store_true",
        help="for a classifier: decode all images once and keep them in memory",
    )


def add_options(parser: argparse.ArgumentParser, words: list[str]) -> None:
    """Add the flags of the recipe, which is the first word, with its values as defaults."""
    if not words or words[0].startswith("-"):
        return
    try:
        add_flags(parser, files.load(words[0]))
    except (ValueError, OSError) as error:
        parser.error(" ".join(str(error).split()))
