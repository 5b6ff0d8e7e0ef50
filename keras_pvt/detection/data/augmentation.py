"""Random flips and scales that keep boxes and masks right."""

import dataclasses
from typing import Protocol

import numpy as np

from keras_pvt.detection.data.letterbox import Letterbox
from keras_pvt.recipes.detection import DetectionRecipe
from keras_pvt.utils.resizing import fit_scale, scaled

# A box of which less is left on the canvas is dropped: its object can hardly be recognised.
MIN_VISIBLE = 0.3


class Augmentation(Protocol):
    """Draws a random place for each image."""

    def draw(self, source: tuple[int, int], rng: np.random.Generator) -> Letterbox:
        """A random place for an image of (height, width)."""


@dataclasses.dataclass(frozen=True)
class FixedCanvas:
    """Images at a random scale, anywhere on a canvas of a fixed size.

    Args:
        canvas: (height, width) in pixels.
        flip_x: probability of mirroring left to right.
        flip_y: probability of mirroring top to bottom, for images without an up, as from
            microscopes.
        scales: smallest and largest scale; at 1 the image just fits the canvas. A smaller image
            lies anywhere on the canvas, and a larger one is cropped at random.
    """

    canvas: tuple[int, int]
    flip_x: float = 0.5
    flip_y: float = 0.0
    scales: tuple[float, float] = (0.8, 1.25)

    def draw(self, source, rng):
        # Evenly in the logarithm: half as often twice as large.
        scale = np.exp(rng.uniform(*np.log(self.scales))) * fit_scale(source, self.canvas)
        target = scaled(source, scale)
        top, left = (
            int(rng.integers(min(0, room), max(0, room) + 1))
            for room in (side - own for side, own in zip(self.canvas, target, strict=True))
        )
        return Letterbox(self.canvas, source, target, left, top, *flips(self, rng))


@dataclasses.dataclass(frozen=True)
class KeepRatio:
    """The whole image, as the published detectors are trained: sides within two limits.

    Args:
        short_sides: least and most pixels of the shorter side, which are drawn evenly.
        long_side: most pixels of the longer side.
        step: from one short side that can be drawn to the next: 1, or DETR's 32.
        multiple: number of pixels to a multiple of which sides of the canvas are rounded up.
        flip_x: probability of mirroring left to right.
        flip_y: probability of mirroring top to bottom.
    Source:
        mmdetection 2.13 mmdet/datasets/pipelines/transforms.py, Resize with `keep_ratio`.
    """

    short_sides: tuple[int, int] = (800, 800)
    long_side: int = 1333
    step: int = 1
    multiple: int = 32
    flip_x: float = 0.5
    flip_y: float = 0.0

    def draw(self, source, rng):
        least, most = self.short_sides
        short_side = least + self.step * int(rng.integers((most - least) // self.step + 1))
        flip_x, flip_y = flips(self, rng)
        return Letterbox.within(
            source, short_side, self.long_side, self.multiple, flip_x=flip_x, flip_y=flip_y
        )


def of_recipe(recipe: DetectionRecipe) -> Augmentation:
    """What happens to training images."""
    flips = {"flip_x": 0.5 * recipe.flip, "flip_y": 0.5 * recipe.flip_y}
    if recipe.canvas:
        scales = (recipe.smallest_scale, recipe.largest_scale)
        return FixedCanvas(recipe.canvas, scales=scales, **flips)
    shorter, longer = recipe.detector_size
    return KeepRatio(
        (recipe.smallest_side or shorter, shorter),
        longer,
        recipe.side_step,
        recipe.pad_multiple,
        **flips,
    )


def flips(augmentation, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether to mirror in x and in y, by the probabilities of an augmentation."""
    flip_x, flip_y = rng.random(2) < (augmentation.flip_x, augmentation.flip_y)
    return bool(flip_x), bool(flip_y)


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
