"""Steps by which weights of another input or resolution are made to fit; all by name."""

import numpy as np

from keras_pvt.ops import linear_weights


def resize_positions(table: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear resize of a position table, as the models do it at run time.

    Args:
        table: `(1, rows, columns, C)`.
        height: rows wanted.
        width: columns wanted.
    Returns:
        `(1, height, width, C)`, float64.
    """
    wide = np.asarray(table[0], "float64")
    rows, columns = (
        linear_weights(n, m) for n, m in zip((height, width), wide.shape, strict=False)
    )
    return np.einsum("ij,jkc,lk->ilc", rows, wide, columns, optimize=True)[None]


def adapt_channels(kernel: np.ndarray, channels: int) -> np.ndarray:
    """An RGB kernel for another number of input channels.

    One channel (gray) gets the sum over RGB, so that gray images give what the same image
    in RGB gives. Otherwise RGB repeat in turn, scaled by 3 / channels, so that sums keep
    their size.

    Args:
        kernel: `(height, width, 3, C)`.
        channels: wanted.
    Returns:
        `(height, width, channels, C)`, float64.
    """
    wide = np.asarray(kernel, "float64")
    if channels == 1:
        return wide.sum(axis=2, keepdims=True)
    return wide[:, :, np.arange(channels) % 3] * (3 / channels)
