"""Resizing of images and labels; parts of the result without the rest."""

import numpy as np


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(height, width) times a scale, halves rounded up, at least 1 pixel."""
    height, width = (max(1, int(side * scale + 0.5)) for side in size)
    return height, width


def fit_scale(size: tuple[int, int], limits: tuple[int, int], turned: bool = False) -> float:
    """The largest scale at which no side is longer than its limit.

    Args:
        size: (height, width) of an image.
        limits: the most that (height, width) may be.
        turned: whether the limits are for the longer and the shorter side instead, in either
            order.
    """
    if turned:
        size, limits = sorted(size), sorted(limits)  # type: ignore[assignment]
    return min(limit / side for side, limit in zip(size, limits, strict=True))


def resized_part(
    image: np.ndarray, size: tuple[int, int], rows: slice, columns: slice
) -> np.ndarray:
    """A part of a resized image: bilinear, half-pixel centres, no antialias.

    As OpenCV's INTER_LINEAR and torch's `interpolate` with `align_corners=False`.

    Args:
        image: `(H, W, C)`.
        size: (height, width) of the whole result.
        rows: of the result to compute.
        columns: of the result to compute.
    Returns:
        float32 `(rows, columns, C)`, not rounded.
    """
    upper, lower, down = _neighbours(image.shape[0], size[0], rows)
    left, right, across = _neighbours(image.shape[1], size[1], columns)
    channels = image.shape[2]
    first = upper[0]
    part = image[first : lower[-1] + 1]
    # Rows lie flat, (rows, columns * C): NumPy is three times as fast on long ones.
    part = _between(
        part.take(left, axis=1).reshape(len(part), -1),
        part.take(right, axis=1).reshape(len(part), -1),
        np.repeat(across, channels),
    )
    part = _between(
        part.take(upper - first, axis=0), part.take(lower - first, axis=0), down[:, None]
    )
    return part.reshape(len(upper), len(left), channels)


def resized_labels_part(
    labels: np.ndarray, size: tuple[int, int], rows: slice, columns: slice
) -> np.ndarray:
    """`resized_part` for labels `(H, W)`: each pixel takes the label at its centre."""
    near = [
        np.minimum((np.arange(part.start, part.stop) + 0.5) * (cells / whole), cells - 1)
        for cells, whole, part in zip(labels.shape, size, (rows, columns), strict=True)
    ]
    return labels[near[0].astype(int)[:, None], near[1].astype(int)]


def _neighbours(cells: int, size: int, part: slice):
    """For each pixel of a part the cells on both sides, and the weight of the second."""
    centres = (np.arange(part.start, part.stop) + 0.5) * (cells / size) - 0.5
    centres = np.clip(centres, 0, cells - 1)
    first = centres.astype(int)
    second = np.minimum(first + 1, cells - 1)
    return first, second, (centres - first).astype("float32")


def _between(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`first` where the weight is 0, `second` where it would be 1; float32."""
    between = np.subtract(second, first, dtype="float32")
    between *= weight
    between += first
    return between
