"""Which backend runs, its own implementations, and what it allows."""

import importlib

import keras
from keras import ops

BACKEND = keras.backend.backend()
# The module with the running backend's own implementations: on_jax, on_tensorflow or on_torch.
engine = importlib.import_module(f"keras_pvt.ops.on_{BACKEND}")

# Where a program can have a part that NumPy computes. JAX waits forever for one on a single core,
# and in programs of several devices.
CALLS_HOST = BACKEND != "jax"
# Whether a model with such a part, where there is one, can be compiled by XLA or torch.
COMPILES_HOST_CALLS = BACKEND != "tensorflow"


def device() -> tuple[str, int]:
    """The name of the default device, for messages, and the number of such devices.

    Call this after `keras_pvt.training.distribution.initialize`: it starts the backend.
    """
    return engine.device()


def gains_by_bfloat16() -> bool:
    """Whether Keras may take less time in bfloat16 than in float32.

    Not on JAX on a CPU: XLA converts to float32 and back there, and computes in that.
    """
    return BACKEND != "jax" or not engine.on_cpu()


def on_host(function, shape, *tensors):
    """An int32 tensor that a function of NumPy arrays gives; only where `CALLS_HOST`.

    See `COMPILES_HOST_CALLS`, which is for a model's `supports_jit`.

    Args:
        function: of arrays, one of each tensor.
        shape: of what it gives; None for a size of run time.
        tensors: without gradient.
    """
    if BACKEND == "tensorflow":
        return engine.on_host(function, shape, *tensors)
    arrays = (ops.convert_to_numpy(x) for x in tensors)
    return ops.convert_to_tensor(function(*arrays), "int32")


def replica_share(loss):
    """What one device has of a loss of its own images, where Keras adds up the devices' gradients,
    as it does under `tf.distribute`: there, the loss divided by their number."""
    return engine.replica_share(loss) if BACKEND == "tensorflow" else loss


def assign_without_copy(variable, array):
    """Set a variable to an array, which nobody may change or keep from then on.

    Args:
        variable: of Keras, of a floating dtype.
        array: contiguous NumPy array of the variable's shape, float16, float32 or float64.
    """
    if BACKEND == "tensorflow":
        engine.assign_without_copy(variable, array)
    else:
        variable.assign(array)


def is_writing_onnx() -> bool:
    """Whether torch writes an ONNX file of what is called, so that it may have ONNX's operators."""
    return BACKEND == "torch" and engine.is_writing_onnx()
