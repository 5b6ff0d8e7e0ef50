"""What the training programs do with their options."""

import argparse
import json
from collections.abc import Sequence

from keras_pvt.ops import BACKEND


def check_positive(
    parser: argparse.ArgumentParser, options: argparse.Namespace, *names: str
) -> None:
    """End the program with an error for the first option that is not above 0."""
    for name in names:
        if getattr(options, name) <= 0:
            flag = f"--{name.replace('_', '-')}"
            parser.error(f"{flag} must be above 0; got {getattr(options, name)}")


def save_settings(options: argparse.Namespace, classes: Sequence[str]) -> None:
    """Make the folder `options.out`, and write to it what the run was started with."""
    options.out.mkdir(parents=True, exist_ok=True)
    settings: dict[str, object] = {name: str(value) for name, value in vars(options).items()}
    settings |= {"classes": list(classes), "backend": BACKEND}
    (options.out / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")
