"""What the training programs do with their options."""

import argparse
import json
import pathlib
from collections.abc import Mapping

from keras_pvt.training.recipe import flag
from keras_pvt.utils.files import replacing

SETTINGS = "settings.json"


def check_positive(
    parser: argparse.ArgumentParser, options: argparse.Namespace, *names: str
) -> None:
    """End the program with an error for the first option that is not above 0."""
    for name in names:
        if getattr(options, name) <= 0:
            parser.error(f"{flag(name)} must be above 0; got {getattr(options, name)}")


def write_settings(folder: pathlib.Path, settings: Mapping[str, object]) -> None:
    """Write to a folder, in one step, what a run is made of."""
    with replacing(folder / SETTINGS) as temporary:
        temporary.write_text(json.dumps(settings, indent=2) + "\n")
