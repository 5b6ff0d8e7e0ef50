"""The backend of Keras, chosen by what is installed.

Keras takes TensorFlow unless it is told otherwise, and fails where that is not there. What the
environment or the configuration file of Keras says otherwise stays in force.
"""

import importlib.util
import json
import os
import pathlib
import sys

from keras_pvt.utils.extras import install_command

BACKENDS = ("tensorflow", "jax", "torch")


def choose() -> None:
    """Set KERAS_BACKEND, if nobody has chosen and Keras's own choice is not installed."""
    if "keras" in sys.modules or os.environ.get("KERAS_BACKEND") or _configured() != "tensorflow":
        return
    installed = _installed()
    if installed and installed[0] != "tensorflow":
        os.environ["KERAS_BACKEND"] = installed[0]


def check() -> None:
    """Say what to install, if Keras is going to fail for want of a backend.

    Raises:
        ImportError: none is installed, or not the chosen one.
    """
    if "keras" in sys.modules:
        return
    installed = _installed()
    wanted = os.environ.get("KERAS_BACKEND") or _configured()
    if wanted in installed:
        return
    if not installed and not os.environ.get("KERAS_BACKEND"):
        raise ImportError(
            "Keras needs JAX, PyTorch or TensorFlow to compute, and none is installed: "
            f"{install_command('jax')}, or [torch], or [tensorflow]"
        )
    told = f"KERAS_BACKEND or Keras's keras.json says {wanted!r}"
    here = ", ".join(installed) or "none"
    if wanted not in BACKENDS:
        raise ImportError(
            f"{told}, but keras_pvt runs on {', '.join(BACKENDS)}; installed of these: {here}"
        )
    raise ImportError(
        f"{told}, which is not installed: {install_command(wanted)}, or choose another; "
        f"installed: {here}"
    )


def _installed() -> list[str]:
    return [name for name in BACKENDS if importlib.util.find_spec(name)]


def _configured() -> str:
    """The backend in Keras's file; Keras itself writes "tensorflow" into a new one."""
    home = os.environ.get("KERAS_HOME", pathlib.Path.home() / ".keras")
    try:
        return json.loads((pathlib.Path(home) / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


choose()
