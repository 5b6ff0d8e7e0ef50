"""Letterboxing: where an image lies on the canvas that a detector sees."""

import dataclasses

import numpy as np
from PIL import Image

from keras_pvt.utils.resizing import fit_scale, resized_labels_part, resized_part, scaled
from keras_pvt.variants import IMAGENET_MEAN

# The colour beside the image: zero after the normalisation.
PADDING = tuple(round(255 * mean) for mean in IMAGENET_MEAN)


@dataclasses.dataclass(frozen=True)
class Letterbox:
    """An image scaled, flipped and moved on a canvas: its pixels, its boxes and its masks.

    Args:
        canvas: (height, width) in pixels.
        source: (height, width) of the image.
        target: (height, width) that it is resized to.
        left: column of the canvas where its left edge lies; negative if that is cut off.
        top: row of the canvas where its upper edge lies; negative if that is cut off.
        flip_x: whether the image is mirrored left to right.
        flip_y: whether the image is mirrored top to bottom.
        antialias: whether pixels are averaged where the image shrinks, as in Pillow; otherwise
            they are sampled, as in OpenCV and mmdetection.
    """

    canvas: tuple[int, int]
    source: tuple[int, int]
    target: tuple[int, int]
    left: int = 0
    top: int = 0
    flip_x: bool = False
    flip_y: bool = False
    antialias: bool = True

    @classmethod
    def fit(cls, source: tuple[int, int], canvas: tuple[int, int]) -> "Letterbox":
        """The whole image, as large as it can be, in the upper left corner."""
        return cls(canvas, source, scaled(source, fit_scale(source, canvas)))

    @classmethod
    def within(
        cls,
        source: tuple[int, int],
        short_side: int,
        long_side: int,
        multiple: int = 32,
        **flips: bool,
    ) -> "Letterbox":
        """The whole image, as large as two limits let it be, in the upper left corner.

        Args:
            source: (height, width) of the image.
            short_side: pixels of the shorter side, unless the longer one would be too long.
            long_side: the most pixels of the longer side.
            multiple: number of pixels to a multiple of which sides of the canvas are rounded up.
            **flips: `flip_x`, `flip_y`.
        Source:
            mmdetection 2.13 mmdet/datasets/pipelines/transforms.py, Resize with `keep_ratio`
            and Pad with `size_divisor`.
        """
        target = scaled(source, fit_scale(source, (short_side, long_side), turned=True))
        height, width = (-(-side // multiple) * multiple for side in target)
        return cls((height, width), source, target, antialias=False, **flips)

    @property
    def visible_size(self) -> tuple[int, int]:
        """(height, width) of the upper left part of the canvas that the image reaches into."""
        height, width = (
            min(side, max(0, shift + own))
            for side, shift, own in zip(
                self.canvas, (self.top, self.left), self.target, strict=True
            )
        )
        return height, width

    def on(self, canvas: tuple[int, int]) -> "Letterbox":
        """This place on another canvas, (height, width)."""
        return dataclasses.replace(self, canvas=canvas)

    def image(self, image: np.ndarray) -> np.ndarray:
        """The canvas `(H, W, 3)`, uint8, with an image of size `source`, uint8 RGB, on it."""
        height, width = self.target
        if self.antialias:
            picture = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
            resized = np.asarray(picture)
        else:
            whole = slice(0, height), slice(0, width)
            sampled = resized_part(image, self.target, *whole)
            resized = np.rint(sampled).astype("uint8")
        canvas = np.empty((*self.canvas, 3), "uint8")
        canvas[:] = PADDING
        return self._laid(canvas, resized)

    def mask(self, mask: np.ndarray) -> np.ndarray:
        """The canvas `(H, W)`, uint8, with a mask of size `source`, uint8, on it, resized to the
        nearest pixel; 0 beside it."""
        height, width = self.target
        whole = slice(0, height), slice(0, width)
        resized = resized_labels_part(mask, self.target, *whole)
        return self._laid(np.zeros(self.canvas, "uint8"), resized)

    def boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes of the image, xyxy `(N, 4)`, on the canvas; not clipped."""
        return self._flipped(boxes.astype("float32") * self._scale()) + self._shift()

    def boxes_back(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes on the canvas, xyxy `(N, 4)`, in pixels of the image, clipped to it."""
        boxes = self._flipped(boxes - self._shift()) / self._scale()
        height, width = self.source
        return np.clip(boxes, 0, np.array([width, height, width, height], "float32"))

    def _laid(self, canvas: np.ndarray, resized: np.ndarray) -> np.ndarray:
        """Put a resized image on the canvas, which is changed."""
        if self.flip_x:
            resized = resized[:, ::-1]
        if self.flip_y:
            resized = resized[::-1]
        own, shown = [], []
        for side, shift, length in zip(
            self.canvas, (self.top, self.left), self.target, strict=True
        ):
            first, last = max(0, shift), min(side, shift + length)
            shown.append(slice(first, max(first, last)))
            own.append(slice(first - shift, max(first, last) - shift))
        canvas[tuple(shown)] = resized[tuple(own)]
        return canvas

    def _scale(self):
        height, width = (new / old for new, old in zip(self.target, self.source, strict=True))
        return np.array([width, height, width, height], "float32")

    def _shift(self):
        return np.array([self.left, self.top, self.left, self.top], "float32")

    def _flipped(self, boxes):
        """Boxes of the resized image, mirrored within it."""
        height, width = self.target
        x1, y1, x2, y2 = boxes.T
        if self.flip_x:
            x1, x2 = width - x2, width - x1
        if self.flip_y:
            y1, y2 = height - y2, height - y1
        return np.stack([x1, y1, x2, y2], axis=-1)
