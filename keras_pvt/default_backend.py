"""The backend of Keras: the rule by which it is chosen.

1. KERAS_BACKEND in the environment.
2. Keras's file, ~/.keras/keras.json, unless it says "tensorflow": Keras writes that by itself.
3. What is installed: TensorFlow, which is Keras's own choice, then JAX, then PyTorch.

So where nobody has chosen, a package that brings TensorFlow changes the backend. `OPEN` names
what there is to choose from then, and the commands say so in their first line.
"""

import importlib.util
import json
import os
import pathlib
import sys

from keras_pvt.utils.extras import install_command

BACKENDS = ("tensorflow", "jax", "torch")


def choose() -> list[str]:
    """Set KERAS_BACKEND, if nobody has chosen and Keras's own choice is not installed.

    Returns:
        The backends that are installed, if nobody has chosen; else none.
    """
    if os.environ.get("KERAS_BACKEND") or _configured() != "tensorflow":
        return []
    installed = _installed()
    if "keras" not in sys.modules and installed and installed[0] != "tensorflow":
        os.environ["KERAS_BACKEND"] = installed[0]
    return installed


def chosen() -> str:
    """The backend that Keras has, or will have once it is imported."""
    return os.environ.get("KERAS_BACKEND") or _configured()


def check() -> None:
    """Say what to install, if Keras is going to fail for want of a backend.

    Raises:
        ImportError: none is installed, or not the chosen one.
    """
    if "keras" in sys.modules:
        return
    installed = _installed()
    wanted = chosen()
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


OPEN = choose()
