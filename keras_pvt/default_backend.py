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
    """Set KERAS_BACKEND, if nobody has chosen and Keras's own choice is not installed.

    Raises:
        ImportError: no backend is installed, or not the chosen one; says what to install.
    """
    if "keras" in sys.modules:
        return
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    wanted = os.environ.get("KERAS_BACKEND") or _configured()
    if wanted in installed:
        return
    if wanted == "tensorflow" and not os.environ.get("KERAS_BACKEND"):  # nobody has chosen
        if not installed:
            raise ImportError(
                "Keras needs JAX, PyTorch or TensorFlow to compute, and none is installed: "
                f"{install_command('jax')}, or [torch], or [tensorflow]"
            )
        os.environ["KERAS_BACKEND"] = installed[0]
        return
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


def _configured() -> str:
    """The backend in Keras's file; Keras itself writes "tensorflow" into a new one."""
    home = os.environ.get("KERAS_HOME", pathlib.Path.home() / ".keras")
    try:
        return json.loads((pathlib.Path(home) / "keras.json").read_text())["backend"]
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"
