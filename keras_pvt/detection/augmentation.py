"""Random flips and scales that keep boxes right."""

import dataclasses

import numpy as np

from keras_pvt.detection.geometry import Placement, fit_scale, scaled

# A box of which less is left on the canvas is dropped: what it names can hardly be told.
MIN_VISIBLE = 0.3


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What may happen to a training image.

    Args:
        flip_x: probability of mirroring left to right.
        flip_y: probability of mirroring top to bottom, for images without an up, as from
            microscopes.
        scales: smallest and largest size, 1 being the whole image as large as it fits the
            canvas. A smaller image lies anywhere on the canvas, of a larger one any part is
            seen.
    """

    flip_x: float = 0.5
    flip_y: float = 0.0
    scales: tuple[float, float] = (0.8, 1.25)

    def draw(
        self, source: tuple[int, int], canvas: tuple[int, int], rng: np.random.Generator
    ) -> Placement:
        """A random placement of an image of (height, width) on a canvas."""
        # Evenly in the logarithm: half as often twice as large.
        scale = np.exp(rng.uniform(*np.log(self.scales))) * fit_scale(source, canvas)
        target = scaled(source, scale)
        top, left = (
            int(rng.integers(min(0, room), max(0, room) + 1))
            for room in (side - own for side, own in zip(canvas, target, strict=True))
        )
        flip_x, flip_y = rng.random(2) < (self.flip_x, self.flip_y)
        return Placement(canvas, source, target, left, top, bool(flip_x), bool(flip_y))


def visible(boxes: np.ndarray, canvas: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Clip boxes to the canvas.

    Args:
        boxes: xyxy `(N, 4)`.
        canvas: (height, width).
    Returns:
        Clipped boxes `(N, 4)`, and `(N,)` bool: whether at least `MIN_VISIBLE` of the area, and
        a pixel each way, is left.
    """
    height, width = canvas
    clipped = np.clip(boxes, 0, np.array([width, height, width, height], "float32"))
    sides = clipped[:, 2:] - clipped[:, :2]
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return clipped, (np.prod(sides, axis=1) >= MIN_VISIBLE * area) & (sides >= 1).all(axis=1)
