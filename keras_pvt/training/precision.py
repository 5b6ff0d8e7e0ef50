"""Which half precision the devices have."""

import keras

from keras_pvt.ops import BACKEND


def resolve(name: str) -> str:
    """The dtype policy for a wish.

    Args:
        name: "none", "bfloat16", "float16", or "auto": bfloat16 on TPUs and on GPUs that
            compute in it, float16 (Keras then scales the loss) on other GPUs, none on CPUs.
    Returns:
        "float32", "mixed_bfloat16" or "mixed_float16".
    """
    if name == "auto":
        name = {"jax": _on_jax, "tensorflow": _on_tensorflow, "torch": _on_torch}[BACKEND]()
    return "float32" if name == "none" else f"mixed_{name}"


def _by_capability(capability: float) -> str:
    return "bfloat16" if capability >= 8 else "float16"  # NVIDIA has it from Ampere on


def _on_jax() -> str:
    import jax

    device = jax.local_devices()[0]
    if device.platform == "gpu":
        return _by_capability(float(getattr(device, "compute_capability", 8)))
    return "none" if device.platform == "cpu" else "bfloat16"


def _on_tensorflow() -> str:
    import tensorflow as tf

    if tf.config.list_logical_devices("TPU"):
        return "bfloat16"
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return "none"
    details = tf.config.experimental.get_device_details(gpus[0])
    return _by_capability(details.get("compute_capability", (8, 0))[0])


def _on_torch() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none"
    return _by_capability(torch.cuda.get_device_capability()[0])


def use(name: str) -> str:
    """Make Keras build in the precision of `resolve`, and say which it is."""
    policy = resolve(name)
    keras.config.set_dtype_policy(policy)
    return policy
