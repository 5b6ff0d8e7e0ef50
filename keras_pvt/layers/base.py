"""What the layers share: registration, sub-layers, and checks."""

import functools

import keras

from keras_pvt.layers.initial_values import FanInUniform, Normal
from keras_pvt.ops import layer_norm

PACKAGE = "keras_pvt"


def register(cls, name: str | None = None):
    """Register a layer for `.keras` files, under this package's name.

    Args:
        cls: the class.
        name: what files call it, where the class is called otherwise by now.
    """
    return keras.saving.register_keras_serializable(PACKAGE, name)(cls)


def register_as(name: str):
    """`register`, as a decorator, under the name that a class had in files of version 0.1.0."""
    return functools.partial(register, name=name)


class Composite(keras.layers.Layer):
    """A layer made of others; its configuration says which of them Keras has quantized."""

    def get_config(self):
        return {**super().get_config(), "dtype": policy_config(self)}


def policy_config(owner: keras.layers.Layer) -> dict:
    """The dtype policy of a layer or model in a configuration, with those of its inner layers.

    Keras quantizes inner layers one by one. Without their policies in the configuration, a saved
    layer could not be loaded.
    """
    policy = owner.dtype_policy
    policy = policy.default_policy if _is_map(policy) else policy
    inner = {
        layer.path.removeprefix(f"{owner.path}/"): layer.dtype_policy
        for layer in owner._flatten_layers(include_self=False)
        if layer.quantization_mode is not None
    }
    if inner:
        policy = keras.dtype_policies.DTypePolicyMap(policy.name, inner)
    return keras.dtype_policies.serialize(policy)


def inner_policy(policy, name: str):
    """The dtype policy of an inner layer: the owner's, or its part of what `policy_config` gave.

    Never a map for a layer of Keras, which saves a quantized one wrongly then.
    """
    if not _is_map(policy):
        return policy
    if name in policy:
        return policy[name]
    inner = {
        path.removeprefix(f"{name}/"): policy[path]
        for path in policy
        if path.startswith(f"{name}/")
    }
    default = policy.default_policy
    return keras.dtype_policies.DTypePolicyMap(default.name, inner) if inner else default


def _is_map(policy) -> bool:
    return isinstance(policy, keras.dtype_policies.DTypePolicyMap)


def dense(width: int, dtype, name: str, use_bias: bool = True) -> keras.layers.Dense:
    """Dense layer with upstream's initial values."""
    return keras.layers.Dense(
        width,
        use_bias=use_bias,
        kernel_initializer=Normal(),
        dtype=inner_policy(dtype, name),
        name=name,
    )


def patch_conv(width: int, side: int, dtype, name: str) -> keras.layers.Conv2D:
    """Convolution whose stride is its kernel: one output cell per `side` x `side` cells."""
    return keras.layers.Conv2D(
        width,
        side,
        strides=side,
        data_format="channels_last",
        kernel_initializer=FanInUniform(),
        dtype=inner_policy(dtype, name),
        name=name,
    )


def norm(epsilon: float, dtype, name: str) -> keras.layers.LayerNormalization:
    """LayerNormalization over channels."""
    return keras.layers.LayerNormalization(
        epsilon=epsilon, dtype=inner_policy(dtype, name), name=name
    )


@register
class LastNorm(keras.layers.LayerNormalization):
    """The last norm of a model, computed as the norms inside other layers are."""

    def call(self, x):
        return layer_norm(self, x, otherwise=super().call)


def dropout(rate: float, dtype, name: str) -> keras.layers.Dropout | None:
    """Dropout; None for a rate of 0, as a layer takes about a millisecond to make."""
    if not rate:
        return None
    return keras.layers.Dropout(rate, dtype=inner_policy(dtype, name), name=name)


def floor_div(size, divisor: int):
    """`size // divisor`, where None stays None."""
    return None if size is None else size // divisor


def check_positive(owner: str, **numbers: int) -> None:
    """Raise a ValueError for each number that is not an integer of at least 1."""
    for name, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"{owner}: `{name}` must be an integer >= 1; got {number!r}.")


def check_rate(owner: str, **rates: float) -> None:
    """Raise a ValueError for each rate outside 0 <= rate < 1."""
    for name, rate in rates.items():
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
            raise ValueError(
                f"{owner}: `{name}` is the probability of dropping, 0 <= rate < 1; got {rate!r}."
            )


def check_map(owner: str, shape, side: int = 1) -> None:
    """Raise a ValueError unless `shape` is `(B, H, W, C)` with H and W of `side` or more.

    Sizes that are not plain integers are known at run time only, and pass.
    """
    if len(shape) != 4 or shape[-1] is None:
        raise ValueError(
            f"{owner}: expected a channels-last map (batch, height, width, channels) with a "
            f"known number of channels; got shape {tuple(shape)}."
        )
    if any(isinstance(size, int) and size < side for size in shape[1:3]):
        raise ValueError(
            f"{owner}: a map of {shape[1]}x{shape[2]} cells is smaller than the {side}x{side} "
            "cells that this layer reduces to one; give the model a larger image "
            "(PVT-Tiny to Large need 32 pixels a side)."
        )
