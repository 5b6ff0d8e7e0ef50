"""What the models take: RGB images 0..255, normalised by the ImageNet statistics."""

import numpy as np

from keras_pvt.variants import IMAGENET_MEAN, IMAGENET_STD


def channel_statistics(channels: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation, of values 0..1, of images of so many channels.

    RGB has ImageNet's. One channel (gray) has their averages; otherwise they repeat, as
    the weights of the first convolution do.
    """
    if channels == 1:
        return [sum(IMAGENET_MEAN) / 3], [sum(IMAGENET_STD) / 3]
    return (
        [IMAGENET_MEAN[n % 3] for n in range(channels)],
        [IMAGENET_STD[n % 3] for n in range(channels)],
    )


def preprocess_input(x):
    """Normalise images; a new array comes back, `x` is left alone.

    Args:
        x: array `(..., C)`, RGB (or see `channel_statistics`), 0..255, any numeric dtype.
    Returns:
        float32 NumPy array of the same shape: `(x / 255 - mean) / std`.
    """
    x = np.asarray(x, "float32")
    mean, std = (np.array(s, "float32") for s in channel_statistics(x.shape[-1]))
    return x * (1 / (255 * std)) - mean / std
