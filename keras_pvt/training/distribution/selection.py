"""Which strategy runs."""

import importlib
import os

import keras

from keras_pvt.ops import BACKEND
from keras_pvt.strategies import BACKENDS, NAMES
from keras_pvt.training.distribution.strategy import Strategy


def choose(name: str = "auto") -> Strategy:
    """The strategy of a name. Call this before anything is computed.

    Args:
        name: "none", one device in this process.
            "auto": "data-parallel" where JAX has several devices, "tpu" where TensorFlow has
            one, "mirrored" where it has several other devices, "ddp" where PyTorch was started
            by torchrun, else "none".
            "data-parallel" (JAX): each device has all weights and a part of the batch.
            "fsdp" (JAX): each device also has only a part of the weights and of the
            optimizer's moments.
            "mirrored", "tpu" (TensorFlow), "ddp" (PyTorch): as "data-parallel", by the engine
            of this name.
    Returns:
        The strategy, ready to use.
    Raises:
        ValueError: an unknown name, one of another backend, or one for which this machine lacks
            the devices or the program the processes.
    """
    if name not in NAMES:
        raise ValueError(f"no strategy {name!r}; there are {', '.join(NAMES)}.")
    owner = BACKENDS.get(name, BACKEND)
    if owner != BACKEND:
        here = [other for other, backend in BACKENDS.items() if backend == BACKEND]
        raise ValueError(
            f"{name!r} is a strategy of {owner}, and Keras runs on {BACKEND}, which has "
            f"{', '.join(here)}; set KERAS_BACKEND={owner} in the environment to run on it."
        )
    initialize()
    if name == "none":
        return Strategy()
    engine = importlib.import_module(f"keras_pvt.training.distribution.on_{BACKEND}")
    if name == "auto":
        name = engine.automatic()
    return Strategy() if name == "none" else engine.STRATEGIES[name]()


def initialize() -> None:
    """Join the other processes of a JAX program, if the environment says that there are any.

    It does by KERAS_DISTRIBUTION_JOB_ADDRESSES, KERAS_DISTRIBUTION_NUM_PROCESSES and
    KERAS_DISTRIBUTION_PROCESS_ID (see `keras.distribution.initialize`), or, on a TPU of several
    hosts, by TPU_WORKER_HOSTNAMES, where JAX finds out the rest itself. On a TPU without that
    variable, KERAS_DISTRIBUTION_NUM_PROCESSES alone is enough.

    Call this before anything is computed; a second call does nothing.
    """
    if BACKEND != "jax":  # torchrun's variables are read where they are needed
        return
    import jax

    several_hosts = "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")
    told = any(key.startswith("KERAS_DISTRIBUTION_") for key in os.environ)
    if (told or several_hosts) and not jax.distributed.is_initialized():
        keras.distribution.initialize()
