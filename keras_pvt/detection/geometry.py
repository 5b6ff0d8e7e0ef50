"""Where an image lies on the canvas that a detector sees."""

import dataclasses

import numpy as np
from PIL import Image

from keras_pvt.variants import IMAGENET_MEAN

# What is beside the image: zero after the normalisation.
PADDING = tuple(round(255 * mean) for mean in IMAGENET_MEAN)


@dataclasses.dataclass(frozen=True)
class Placement:
    """An image scaled, moved and flipped on a canvas; the same for pixels and boxes.

    Args:
        canvas: (height, width) in pixels.
        source: (height, width) of the image.
        target: (height, width) that it is resized to.
        left: column of the canvas where its left edge lies; negative if that is cut off.
        top: the same for rows.
        flip_x: whether the canvas is mirrored left to right afterwards.
        flip_y: whether the canvas is mirrored top to bottom afterwards.
    """

    canvas: tuple[int, int]
    source: tuple[int, int]
    target: tuple[int, int]
    left: int = 0
    top: int = 0
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def fit(cls, source: tuple[int, int], canvas: tuple[int, int]) -> "Placement":
        """The whole image, as large as it can be, in the upper left corner."""
        return cls(canvas, source, scaled(source, fit_scale(source, canvas)))

    def image(self, image: np.ndarray) -> np.ndarray:
        """The canvas `(H, W, 3)`, uint8, with an image of size `source`, uint8 RGB, on it."""
        height, width = self.target
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        canvas = Image.new("RGB", self.canvas[::-1], PADDING)
        canvas.paste(resized, (self.left, self.top))
        pixels = np.asarray(canvas)
        if self.flip_x:
            pixels = pixels[:, ::-1]
        return pixels[::-1] if self.flip_y else pixels

    def boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes of the image, xyxy `(N, 4)`, on the canvas; not clipped."""
        boxes = boxes.astype("float32") * self._scale() + self._shift()
        return self._flipped(boxes)

    def boxes_back(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes on the canvas, xyxy `(N, 4)`, in pixels of the image, clipped to it."""
        boxes = (self._flipped(boxes) - self._shift()) / self._scale()
        height, width = self.source
        return np.clip(boxes, 0, np.array([width, height, width, height], "float32"))

    def _scale(self):
        height, width = (new / old for new, old in zip(self.target, self.source, strict=True))
        return np.array([width, height, width, height], "float32")

    def _shift(self):
        return np.array([self.left, self.top, self.left, self.top], "float32")

    def _flipped(self, boxes):
        height, width = self.canvas
        x1, y1, x2, y2 = boxes.T
        if self.flip_x:
            x1, x2 = width - x2, width - x1
        if self.flip_y:
            y1, y2 = height - y2, height - y1
        return np.stack([x1, y1, x2, y2], axis=-1)


def fit_scale(source: tuple[int, int], canvas: tuple[int, int]) -> float:
    """Scale at which an image just fits a canvas; both (height, width)."""
    return min(side / own for side, own in zip(canvas, source, strict=True))


def scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """(height, width) times a scale, whole pixels, at least 1."""
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width
