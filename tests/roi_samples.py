"""RoIAlign a sample at a time, straight from its definition."""

import math

import numpy as np


def at(cells, y, x):
    """A map between its cells."""
    height, width, channels = cells.shape
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(channels)
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = min(int(y), height - 2), min(int(x), width - 2)
    down, right = y - top, x - left
    upper = (1 - right) * cells[top, left] + right * cells[top, left + 1]
    lower = (1 - right) * cells[top + 1, left] + right * cells[top + 1, left + 1]
    return (1 - down) * upper + down * lower


def scalar(cells, box, stride, size):
    """One box on one map, in float64, `(size, size, channels)`."""
    x1, y1, x2, y2 = (edge / stride - 0.5 for edge in box)
    high, wide = (y2 - y1) / size, (x2 - x1) / size
    rows, columns = math.ceil(high), math.ceil(wide)
    parts = np.zeros((size, size, cells.shape[-1]))
    for i, j in np.ndindex(size, size):
        for a, b in np.ndindex(rows, columns):
            y, x = y1 + (i + (a + 0.5) / rows) * high, x1 + (j + (b + 0.5) / columns) * wide
            parts[i, j] += at(cells, y, x)
    return parts / max(rows * columns, 1)
