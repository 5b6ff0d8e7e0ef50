"""Anchors: boxes of fixed sizes around the cells of a pyramid's maps."""

import dataclasses

import numpy as np
from keras import ops

from keras_pvt.models.feature_pyramid import level_number


@dataclasses.dataclass(frozen=True)
class Anchors:
    """The anchors of a cell, of sides that grow with the cells of a level.

    Args:
        side: side of the smallest square anchor, in cells.
        scales: sizes from one level to the next, each 2**(1 / scales) times the one before.
        ratios: heights divided by widths; the area stays.
    Source:
        Focal Loss for Dense Object Detection, arXiv 1708.02002, section 4; mmdetection 2.13
        mmdet/core/anchor/anchor_generator.py, whose anchors have a cell's upper left corner in
        their centre, in float32.
    """

    side: float = 4.0
    scales: int = 3
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)

    @property
    def per_cell(self) -> int:
        """How many a cell has."""
        return self.scales * len(self.ratios)

    def of_cell(self, stride: int) -> np.ndarray:
        """The anchors of a level's first cell.

        Args:
            stride: side of a cell in pixels.
        Returns:
            "xyxy" in pixels, float32 `(per_cell, 4)`: all sizes of the first ratio, and so on.
        """
        scales = np.float32(self.side * 2 ** (np.arange(self.scales) / self.scales))
        root = np.sqrt(np.asarray(self.ratios, "float32"))[:, None]
        heights, widths = root * stride * scales, 1 / root * stride * scales
        half = 0.5 * np.stack([widths.ravel(), heights.ravel()], axis=-1)
        return np.concatenate([-half, half], axis=-1).astype("float32")

    def of_level(self, rows, columns, stride: int):
        """The anchors of all cells of a level.

        Args:
            rows: rows of cells, an integer or a scalar tensor.
            columns: columns of cells, an integer or a scalar tensor.
            stride: side of a cell in pixels.
        Returns:
            "xyxy" in pixels, float32 `(rows * columns * per_cell, 4)`, row after row.
        """
        x, y = (ops.arange(0, size, dtype="float32") * stride for size in (columns, rows))
        corners = ops.stack(ops.meshgrid(x, y), axis=-1)  # (rows, columns, 2)
        corners = ops.expand_dims(ops.concatenate([corners, corners], axis=-1), 2)
        return ops.reshape(corners + ops.convert_to_tensor(self.of_cell(stride)), (-1, 4))

    def of_maps(self, maps: dict) -> dict:
        """The anchors of each level.

        Args:
            maps: level, such as "P3", whose cells have 2**3 pixels a side, to a map
                `(B, rows, columns, any)`.
        """
        anchors = {}
        for level, x in maps.items():
            rows, columns = ops.shape(x)[1:3]
            anchors[level] = self.of_level(rows, columns, 2 ** level_number(level))
        return anchors


def per_anchor(x, width: int):
    """A head's map `(B, H, W, A * width)` as a row for each anchor, `(B, H * W * A, width)`."""
    rows, columns, channels = x.shape[1:]
    if rows is None or columns is None:
        return ops.reshape(x, (ops.shape(x)[0], -1, width))
    return ops.reshape(x, (-1, rows * columns * (channels // width), width))


def within(anchors, sizes, multiple: int):
    """Which anchors have their centre in an image, sides rounded up.

    Args:
        anchors: "xyxy" in pixels, tensor `(N, 4)`.
        sizes: tensor `(B, 2)`, (height, width) of images in pixels.
        multiple: that sides are rounded up to.
    Returns:
        bool `(B, N)`.
    """
    # Centres are whole numbers, which their corners, rounded, only nearly tell.
    centres = ops.expand_dims(ops.round((anchors[:, :2] + anchors[:, 2:]) / 2), 0)
    ends = ops.ceil(ops.cast(sizes, "float32") / multiple) * multiple
    ends = ops.expand_dims(ops.flip(ends, axis=-1), 1)  # (B, 1, 2): width, height
    return ops.all(centres < ends, axis=-1)
