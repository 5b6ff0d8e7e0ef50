"""Where a mask is true."""

import numpy as np


def box_of(mask):
    """Top, left, height and width of a mask, which must be one full rectangle."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    assert mask.sum() == height * width
    return rows[0], columns[0], height, width
