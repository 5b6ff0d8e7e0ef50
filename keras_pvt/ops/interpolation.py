"""Linear interpolation as a matrix."""

import numpy as np


def linear_weights(size: int, cells: int, align_corners: bool = False) -> np.ndarray:
    """The `(size, cells)` float64 matrix whose rows weigh cells linearly.

    torch's `interpolate(mode="bilinear")` along one axis, with no antialias when shrinking.

    Args:
        size: of the result.
        cells: of what is interpolated.
        align_corners: the first and last centres coincide; otherwise the outer edges do
            (half-pixel centres).
    """
    if align_corners:
        centres = np.arange(size) * ((cells - 1) / max(1, size - 1))
    else:
        centres = np.clip((np.arange(size) + 0.5) * (cells / size) - 0.5, 0, cells - 1)
    return np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(cells)))
