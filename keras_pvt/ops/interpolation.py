"""Linear interpolation as a matrix."""

import numpy as np


def linear_weights(size: int, cells: int) -> np.ndarray:
    """The `(size, cells)` float64 matrix whose rows weigh cells linearly.

    Half-pixel centres, no antialias when shrinking: torch's `interpolate(mode="bilinear",
    align_corners=False)`, along one axis.
    """
    centres = np.clip((np.arange(size) + 0.5) * (cells / size) - 0.5, 0, cells - 1)
    return np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(cells)))
