"""Normalisation of RGB images 0..255 by the ImageNet statistics."""

import functools
import logging

import numpy as np

from keras_pvt.variants import IMAGENET_MEAN, IMAGENET_STD

logger = logging.getLogger("keras_pvt")


def channel_statistics(channels: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, of values 0..1.

    RGB has ImageNet's. One channel (gray) has their averages; otherwise they repeat, as
    the weights of the first convolution do.
    """
    if channels == 1:
        return [sum(IMAGENET_MEAN) / 3], [sum(IMAGENET_STD) / 3]
    return (
        [IMAGENET_MEAN[n % 3] for n in range(channels)],
        [IMAGENET_STD[n % 3] for n in range(channels)],
    )


def preprocess_input(x) -> np.ndarray:
    """Normalise images by the ImageNet statistics. `x` itself is not changed.

    Float images with values up to 1 are also read as 0..255, and a warning is logged once.

    Args:
        x: array `(..., C)`, 0..255, any numeric dtype. Three channels are RGB; one channel has
            the average statistics of RGB; further channels repeat those of RGB.
    Returns:
        float32 NumPy array of the same shape: `(x / 255 - mean) / std`.
    Raises:
        ValueError: `x` is channels-first.
    """
    x = np.asarray(x)
    if x.ndim >= 3 and x.shape[-1] > 4 and x.shape[-3] in (1, 3):
        raise ValueError(f"`x` must be channels-last, (..., channels); got shape {x.shape}.")
    if x.dtype.kind == "f" and x.size and x.max() <= 1:
        _warn_scaled()
    mean, std = (np.array(s, "float32") for s in channel_statistics(x.shape[-1]))
    return x.astype("float32") * (1 / (255 * std)) - mean / std


@functools.cache
def _warn_scaled() -> None:
    """Once in a process."""
    logger.warning(
        "preprocess_input takes images of 0..255, and got floats of at most 1; if they are "
        "scaled to 0..1 already, multiply them by 255."
    )
