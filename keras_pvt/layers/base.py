"""What the layers share: registration, sub-layers, and checks."""

import functools
import random

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
    """A layer made of others; its configuration says which of them are quantized and frozen."""

    @property
    def unused(self) -> tuple[str, ...]:
        """Names of inner layers that are frozen from the start, as nothing is computed by them."""
        return ()

    def __setattr__(self, name, value):
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, keras.layers.Layer) and not self.trainable:
                inner.trainable = False
        super().__setattr__(name, value)

    def get_config(self):
        config = {**super().get_config(), "dtype": policy_config(self)}
        inner = inner_trainable(self)
        at_first = dict.fromkeys(self.unused, False) if self.trainable else {}
        return config if inner == at_first else {**config, "inner_trainable": inner}

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        inner = config.pop("inner_trainable", None)
        layer = super().from_config(config)
        set_trainable(layer, layer.trainable, inner)
        return layer


def inner_trainable(owner: keras.layers.Layer) -> dict[str, bool]:
    """For a configuration: `trainable` of each inner layer that differs from what it is in.

    Keras keeps the flag of a layer that it makes from a configuration, and none of those inside.

    Returns:
        By the names on the way to the layer, as in "attention/query"; a layer before those in it.
    """
    return {
        path: layer.trainable
        for path, layer, outer in _inner_layers(owner)
        if layer.trainable != outer.trainable
    }


def set_trainable(owner: keras.layers.Layer, trainable: bool, inner: dict | None) -> None:
    """Freeze what a configuration says.

    Args:
        owner: the new layer or model.
        trainable: of itself.
        inner: from `inner_trainable`; None, as in files of version 0.1.0: all inside as itself,
            but for what is frozen from the start.
    Raises:
        ValueError: `inner` names a layer that there is not.
    """
    if inner is None:
        if not trainable:
            owner.trainable = False
        return
    layers = {path: layer for path, layer, _ in _inner_layers(owner)}
    unknown = inner.keys() - layers.keys()
    if unknown:
        raise ValueError(
            f"{owner.name}: `inner_trainable` in its configuration names {sorted(unknown)}, which "
            f"are none of its layers: {', '.join(layers)}."
        )
    # Each by itself: on TensorFlow, a flag that is set to what it is already sets none inside.
    for layer in (owner, *layers.values()):
        layer.trainable = trainable
    for path in sorted(inner, key=lambda path: path.count("/")):  # each sets those inside, too
        layers[path].trainable = inner[path]


def _inner_layers(owner, path=""):
    """Each layer inside another, its path, and what it is in; Keras alone makes the inputs."""
    for layer in owner._layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        yield path + layer.name, layer, owner
        yield from _inner_layers(layer, f"{path}{layer.name}/")


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


def patch_conv(width: int, side: int, dtype, name: str, initializer=None) -> keras.layers.Conv2D:
    """Convolution whose stride is its kernel: one output cell per `side` x `side` cells."""
    return keras.layers.Conv2D(
        width,
        side,
        strides=side,
        data_format="channels_last",
        kernel_initializer=initializer or FanInUniform(),
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
    """Dropout; None for a rate of 0, as a layer takes about a millisecond to make.

    It has a seed, as Keras draws one where there is none: without it, Keras on PyTorch drops by the
    process's generator, whose state is in no checkpoint.
    """
    if not rate:
        return None
    seed = random.randint(1, 1_000_000_000)
    return keras.layers.Dropout(rate, seed=seed, dtype=inner_policy(dtype, name), name=name)


def floor_div(size, divisor: int):
    """`size // divisor`, where None stays None."""
    return None if size is None else size // divisor


def ceil_div(size, divisor: int):
    """`size / divisor`, rounded up; None stays None."""
    return None if size is None else -(-size // divisor)


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
            "(PVT-Tiny to Large need 32 pixels a side, PVTv2 29)."
        )
