"""The input side of a model: shape checks, the input tensor, and preprocessing inside."""

import keras

from keras_pvt.models.preprocessing import channel_statistics
from keras_pvt.variants import PVTConfig

PREPROCESSING = "preprocessing"  # the layer's name


def make_input(input_shape, input_tensor, config: PVTConfig, default_size: int | None):
    """The Keras tensor that a model starts from, after a check of its shape.

    Args:
        input_shape: (height, width, channels); None for a size of run time.
        input_tensor: a tensor to start from instead, or None.
        config: row of the variant table; it knows the smallest side that works.
        default_size: side where `input_shape` is None; None leaves the size open.
    Raises:
        ValueError: a shape that is not (height, width, channels), too small an image, no
            known number of channels, or channels first.
    """
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "keras_pvt is channels-last, and Keras is set to channels_first; call "
            'keras.config.set_image_data_format("channels_last") and pass images '
            "(batch, height, width, channels)."
        )
    if input_tensor is not None:
        if not keras.utils.is_keras_tensor(input_tensor):
            raise ValueError(
                "`input_tensor` must be a Keras tensor, such as keras.Input(...); got "
                f"{type(input_tensor).__name__}."
            )
        shape = tuple(input_tensor.shape[1:])
        if input_shape is not None and tuple(input_shape) != shape:
            raise ValueError(
                f"`input_shape` {tuple(input_shape)} differs from `input_tensor`'s {shape}; "
                "give only one of them."
            )
    else:
        shape = (default_size, default_size, 3) if input_shape is None else tuple(input_shape)
    if len(shape) != 3 or any(
        size is not None and (not isinstance(size, int) or size < 1) for size in shape
    ):
        raise ValueError(
            "`input_shape` must be (height, width, channels), integers above 0, with None for "
            f"a height or width of run time; got {shape}."
        )
    height, width, channels = shape
    if channels is None:
        raise ValueError(f"`input_shape` needs its number of channels; got {shape}.")
    for name, size in (("height", height), ("width", width)):
        if size is not None and size < config.min_size:
            hint = " Is it channels-first?" if name == "height" and size <= 4 else ""
            raise ValueError(
                f"image {name} {size} is below {config.min_size} pixels, the smallest that "
                f"leaves a cell in every stage; got `input_shape` {shape}.{hint}"
            )
    return keras.Input(shape, name="images") if input_tensor is None else input_tensor


def preprocess(images):
    """Normalise images 0..255 inside a model, in float32 at least."""
    mean, std = channel_statistics(images.shape[-1])
    return keras.layers.Rescaling(
        scale=[1 / (255 * s) for s in std],
        offset=[-m / s for m, s in zip(mean, std, strict=True)],
        dtype="float32",
        name=PREPROCESSING,
    )(images)


def image_shape(model: keras.Model) -> tuple:
    """Of the images that a functional model takes, alone or in a dictionary, with the batch."""
    inputs = getattr(model, "input", None)  # which a Sequential has not
    images = inputs["images"] if isinstance(inputs, dict) else model.inputs[0]
    return tuple(images.shape)


def takes_pixels(model: keras.Model) -> bool:
    """Whether a model takes RGB 0..255, because `preprocess` is inside."""
    return any(layer.name == PREPROCESSING for layer in model._flatten_layers())
