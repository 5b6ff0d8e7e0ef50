"""The half precision to use on the devices."""

import re

import keras

from keras_pvt.ops import BACKEND


def resolve(name: str) -> str:
    """Return the dtype policy for a name.

    Args:
        name: "none", "bfloat16", "float16", or "auto": bfloat16 on TPUs and on GPUs,
            float16 (Keras then scales the loss) on NVIDIA GPUs before Ampere, none on CPUs, where
            bfloat16 does not speed JAX up.
    Returns:
        "float32", "mixed_bfloat16" or "mixed_float16".
    """
    if name == "auto":
        name = {"jax": _on_jax, "tensorflow": _on_tensorflow, "torch": _on_torch}[BACKEND]()
    return "float32" if name == "none" else f"mixed_{name}"


def _on_jax() -> str:
    import jax

    device = jax.local_devices()[0]
    if device.platform != "gpu":
        return "none" if device.platform == "cpu" else "bfloat16"
    # A number of NVIDIA's, as "9.0"; AMD's are names, as "gfx942".
    number = re.fullmatch(r"(\d+)\.\d+", str(getattr(device, "compute_capability", "")))
    return _on_nvidia(int(number[1])) if number else "bfloat16"


def _on_tensorflow() -> str:
    import tensorflow as tf

    if tf.config.list_logical_devices("TPU"):
        return "bfloat16"
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "none"
    number = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability")
    return _on_nvidia(number[0]) if number else "bfloat16"


def _on_torch() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def _on_nvidia(generation: int) -> str:
    """By the first number of a compute capability; Ampere, 8, is the first with bfloat16."""
    return "bfloat16" if generation >= 8 else "float16"


def use(name: str) -> str:
    """Make Keras build in the precision of `resolve`, and say which it is."""
    policy = resolve(name)
    keras.config.set_dtype_policy(policy)
    return policy
