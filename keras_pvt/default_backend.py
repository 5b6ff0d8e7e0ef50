"""Where only JAX or PyTorch is installed, Keras shall take it.

Keras takes TensorFlow unless it is told otherwise, and fails where that is not there. What the
environment or the configuration file of Keras says otherwise stays in force.
"""

import importlib.util
import json
import os
import pathlib
import sys


def choose() -> None:
    """Set KERAS_BACKEND, if nobody has chosen and Keras's own choice is not installed."""
    if "keras" in sys.modules or "KERAS_BACKEND" in os.environ or _configured() != "tensorflow":
        return
    installed = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name)]
    if installed and installed[0] != "tensorflow":
        os.environ["KERAS_BACKEND"] = installed[0]


def _configured() -> str:
    """The backend in Keras's file; Keras itself writes "tensorflow" into a new one."""
    home = os.environ.get("KERAS_HOME", pathlib.Path.home() / ".keras")
    try:
        return json.loads((pathlib.Path(home) / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


choose()
