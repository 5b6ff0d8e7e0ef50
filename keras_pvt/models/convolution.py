"""Convolutions of the necks and heads, as parts of a functional graph."""

import keras

from keras_pvt.layers.base import inner_policy
from keras_pvt.layers.initial_values import FanOutNormal

# torch's momentum of 0.1 is the share of the new batch, Keras's that of the old ones.
BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}


def conv(x, width: int, side: int, dtype, name: str, use_bias: bool = True, initializer=None):
    """A convolution that keeps the size of a map.

    Args:
        x: map `(B, H, W, C)`.
        width: channels out.
        side: of the kernel in cells.
        dtype: policy.
        name: of the layer.
        use_bias: whether it has one.
        initializer: of the kernel; by default mmcv's, He's normal values over the fan out.
    """
    return conv_layer(width, side, dtype, name, use_bias=use_bias, initializer=initializer)(x)


def conv_layer(
    width: int,
    side: int,
    dtype,
    name: str,
    *,
    strides: int = 1,
    padding: str = "same",
    activation: str | None = None,
    use_bias: bool = True,
    initializer=None,
    bias_initializer="zeros",
) -> keras.layers.Conv2D:
    """The layer of `conv`, for several maps, or with more of Keras's options."""
    return keras.layers.Conv2D(
        width,
        side,
        strides=strides,
        padding=padding,
        data_format="channels_last",
        activation=activation,
        use_bias=use_bias,
        kernel_initializer=initializer or FanOutNormal(),
        bias_initializer=bias_initializer,
        dtype=inner_policy(dtype, name),
        name=name,
    )


def apply_layers(layers: list[keras.layers.Layer], x):
    """Apply layers one after the other, such as a tower that all levels of a pyramid share."""
    for layer in layers:
        x = layer(x)
    return x


def conv_norm_relu(x, width: int, side: int, dtype, name: str):
    """A convolution without bias, batch norm and ReLU: layers `name` and `name` + "_norm".

    Source:
        mmcv 1.3.8 `ConvModule`.
    """
    x = conv(x, width, side, dtype, name, use_bias=False)
    norm = f"{name}_norm"
    x = keras.layers.BatchNormalization(**BATCH_NORM, dtype=inner_policy(dtype, norm), name=norm)(x)
    return keras.layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)
