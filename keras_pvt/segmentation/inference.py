"""Prediction of the classes of pixels: whole images or windows, at one or several scales."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_pvt.layers import ResizeLike
from keras_pvt.models.inputs import takes_pixels
from keras_pvt.models.preprocessing import preprocess_input
from keras_pvt.ops import linear_weights
from keras_pvt.training.augmentation.pictures import check_image, height_and_width
from keras_pvt.utils.resizing import fit_scale, resized_part, scaled
from keras_pvt.variants import IMAGENET_MEAN

MODES = ("auto", "whole", "slide")
# Sides that a whole image is stretched to are multiples of it: a cell of the coarsest map.
MULTIPLE = 32
# Of a tile, in pixels: interpolation along a side is a matrix of its square.
_LONGEST = 1 << 12
# Logits that are resized at once, which then stay in a processor's cache.
_BAND = 1 << 20


class Map(NamedTuple):
    """Logits that are not at the image's size yet.

    Args:
        logits: `(h, w, K)` float32.
        rows: `(H, h)` float32, which interpolates them to the image's rows.
        columns: `(W, w)` float32, the same for its columns.
    """

    logits: np.ndarray
    rows: np.ndarray
    columns: np.ndarray


class Predictor:
    """Finds the class of each pixel of images of any size.

    Args:
        model: takes one image `(1, h, w, 3)` and returns logits `(1, any, any, K)`. The image is
            RGB 0..255 if the model includes its preprocessing, else it is normalised by
            `preprocess_input`.
        mode: "whole" stretches the image so that its sides are multiples of 32 pixels, or the
            model's own; "slide" moves a window over it and averages the logits where windows
            overlap; "auto" is "slide" for a model of one fixed size, which avoids stretching.
        short_side: pixels of the short side to which an image is first resized, with its aspect
            ratio kept and its long side at most four times as long; None: no resizing.
        window: (height, width) or side of the window, in pixels; by default the model's size.
            A smaller image is padded with the mean colour.
        stride: from one window to the next, (down, right) or both, in pixels; by default two
            thirds of the window.
        scales: factors of the image's size; the probabilities at all scales are averaged.
        flip: whether to average with the predictions for the mirrored image.
        max_pixels: largest number of pixels that go through the model, or that windows are moved
            over, at once; a larger image is cut into tiles that overlap by an eighth. Besides the
            model's own memory, at most 4 * K * max_pixels bytes are used for each scale, twice that
            with `flip`; a sixteenth of it for a model of this package in mode "whole".
    Raises:
        ValueError: arguments out of range, or that the model does not allow.
    Source:
        mmsegmentation 0.13 mmseg/models/segmentors/encoder_decoder.py and the `AlignResize` of
        whai362/PVT segmentation. Differs: images are not rounded between resizes.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        mode: str = "auto",
        short_side: int | None = None,
        window: int | tuple[int, int] | None = None,
        stride: int | tuple[int, int] | None = None,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        max_pixels: int = 1 << 21,
    ):
        if mode not in MODES:
            raise ValueError(f"`mode` must be one of {', '.join(MODES)}; got {mode!r}.")
        if not scales or min(scales) <= 0:
            raise ValueError(f"`scales` must be numbers above 0, one at least; got {scales}.")
        if short_side is not None and short_side < 1:
            raise ValueError(f"`short_side` must be 1 pixel or more; got {short_side}.")
        if max_pixels < 1:
            raise ValueError(f"`max_pixels` must be 1 or more; got {max_pixels}.")
        if len(getattr(model, "outputs", ())) != 1 or len(model.inputs) != 1:
            raise ValueError(
                "`model` must be a functional keras.Model from one image to logits; got "
                f"{type(model).__name__}."
            )
        self.model, self._align_corners = _without_resize(model)
        self.takes_pixels = takes_pixels(model)
        self.num_classes = int(model.output_shape[-1])
        own = model.input_shape[1:3]
        self._own = None if None in own else own
        self.mode = ("slide" if self._own else "whole") if mode == "auto" else mode
        if self.mode == "slide":
            self._set_window(window, stride)
        elif window is not None or stride is not None:
            raise ValueError('`window` and `stride` are for the mode "slide".')
        self.short_side, self.scales, self.flip = short_side, tuple(scales), flip
        self.max_pixels = max_pixels

    def _set_window(self, window, stride):
        window = window or self._own
        if window is None:
            raise ValueError('the mode "slide" needs a `window` for a model of any size.')
        self.window = height_and_width(window)
        if self._own not in (None, self.window):
            raise ValueError(f"the model takes windows of {self._own}; got {self.window}.")
        self.stride = (
            tuple(max(1, side * 2 // 3) for side in self.window)
            if stride is None
            else height_and_width(stride)
        )
        if any(step > side for step, side in zip(self.stride, self.window, strict=True)):
            raise ValueError(
                f"`stride` {self.stride} would leave out pixels between windows of {self.window}."
            )

    def compute_by(self, wrap: Callable[[keras.Model], Any]) -> None:
        """Let something else compute the logits.

        Args:
            wrap: of the model up to its last resize, which the predictor does itself, gives what
                has its `predict_on_batch`.
        """
        self.model = wrap(self.model)

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        """The probability of each class at each pixel.

        Args:
            image: RGB `(H, W, 3)`, uint8.
        Returns:
            float32 `(H, W, K)`, sums of 1.
        Raises:
            ValueError: another shape or dtype.
        """
        check_image(image)
        result = np.empty((*image.shape[:2], self.num_classes), "float32")
        for where, logits in self._bands(image):
            result[where] = np.mean([_softmax(one) for one in logits], axis=0)
        return result

    def labels(self, image: np.ndarray) -> np.ndarray:
        """The most probable class of each pixel.

        Args:
            image: RGB `(H, W, 3)`, uint8.
        Returns:
            uint8 `(H, W)`, or uint16 for more than 255 classes, because the largest number stands
            for no class.
        Raises:
            ValueError: another shape or dtype.
        """
        check_image(image)
        result = np.empty(image.shape[:2], np.min_scalar_type(self.num_classes))
        for where, logits in self._bands(image):
            scores = logits if len(logits) == 1 else [_softmax(one) for one in logits]
            result[where] = np.sum(scores, axis=0).argmax(axis=-1)
        return result

    def _bands(self, image) -> Iterator[tuple[tuple[slice, slice], list[np.ndarray]]]:
        """Parts of the image, and the logits there, of each scale and, if mirrored, of each way."""
        factor = self._factor(image.shape[:2])
        for rows, columns in self._tiles(image.shape[:2], factor):
            tile = image[rows.of, columns.of]
            maps = list(self._maps(tile, factor))
            keep = range(tile.shape[1])[columns.keep]
            step = max(1, _BAND // (len(keep) * self.num_classes))
            kept = range(tile.shape[0])[rows.keep]
            for first in range(0, len(kept), step):
                band = kept[first : first + step]
                where = (
                    slice(rows.of.start + band.start, rows.of.start + band.stop),
                    slice(columns.of.start + keep.start, columns.of.start + keep.stop),
                )
                yield (
                    where,
                    [
                        _resized(m.logits, m.rows[band.start : band.stop], m.columns[columns.keep])
                        for m in maps
                    ],
                )

    def _maps(self, image, factor: float) -> Iterator[Map]:
        size = image.shape[:2]
        for scale in self.scales:
            target = scaled(size, factor * scale)
            x = _resize(image.astype("float32"), target)
            if self.mode == "whole":
                network = self._own or tuple(-(-side // MULTIPLE) * MULTIPLE for side in target)
                x = _resize(x, network)
            for mirrored in (False, True) if self.flip else (False,):
                seen = x[:, ::-1] if mirrored else x
                if self.mode == "whole":
                    logits = self._predict(seen)
                    weights = [
                        _weights(side, middle) @ self._to_input(middle, cells)
                        for side, middle, cells in zip(size, network, logits.shape, strict=False)
                    ]
                else:
                    logits = self._slide(seen)
                    weights = list(map(_weights, size, target))
                yield Map(logits[:, ::-1] if mirrored else logits, *weights)

    def _slide(self, image) -> np.ndarray:
        """Logits `(h, w, K)` of an image `(h, w, 3)`, averaged over windows."""
        height, width = image.shape[:2]
        padded = np.empty((*map(max, (height, width), self.window), 3), "float32")
        padded[:] = 255 * np.array(IMAGENET_MEAN)
        padded[:height, :width] = image
        total = np.zeros((*padded.shape[:2], self.num_classes), "float32")
        count = np.zeros((*padded.shape[:2], 1), "float32")
        for top in _starts(padded.shape[0], self.window[0], self.stride[0]):
            for left in _starts(padded.shape[1], self.window[1], self.stride[1]):
                where = (
                    slice(top, top + self.window[0]),
                    slice(left, left + self.window[1]),
                )
                logits = self._predict(padded[where])
                if logits.shape[:2] != self.window:
                    logits = _resized(logits, *map(self._to_input, self.window, logits.shape))
                total[where] += logits
                count[where] += 1
        total /= count
        return total[:height, :width]

    def _predict(self, image) -> np.ndarray:
        x = image if self.takes_pixels else preprocess_input(image)
        return np.asarray(self.model.predict_on_batch(np.ascontiguousarray(x)[None])[0], "float32")

    def _to_input(self, side: int, cells: int) -> np.ndarray:
        """What makes so many pixels of the model's input of its logits."""
        return _weights(side, cells, self._align_corners)

    def _factor(self, size) -> float:
        if self.short_side is None:
            return 1.0
        return fit_scale(size, (self.short_side, 4 * self.short_side), turned=True)

    def _tiles(self, size, factor: float):
        """Pairs of `Span`, which together keep each pixel once."""
        if self.mode == "whole" and self._own:
            return [tuple(Span(slice(0, side), slice(0, side)) for side in size)]
        largest = factor * max(self.scales)
        pixels = max(1, int(self.max_pixels / largest**2))
        longest = max(1, int(_LONGEST / largest))
        height = min(size[0], longest, max(1, math.isqrt(pixels)))
        width = min(size[1], longest, max(1, pixels // height))
        height = min(size[0], longest, max(1, pixels // width))
        return [
            (rows, columns)
            for rows in _spans(size[0], height)
            for columns in _spans(size[1], width)
        ]


class Span(NamedTuple):
    """Pixels along a side.

    Args:
        of: of the image, that make a tile.
        keep: of the tile, whose result is kept.
    """

    of: slice
    keep: slice


def _spans(length: int, side: int) -> list[Span]:
    """Spans of `side` that overlap by an eighth; each gives up half of that to its neighbour."""
    starts = _starts(length, side, max(1, side - side // 8))
    cuts = [0, *((a + side + b) // 2 for a, b in itertools.pairwise(starts)), length]
    return [
        Span(slice(start, start + side), slice(cuts[n] - start, cuts[n + 1] - start))
        for n, start in enumerate(starts)
    ]


def _starts(length: int, side: int, step: int) -> list[int]:
    """Where windows of `side` begin; the last one ends at `length`, which is `side` at least."""
    return [min(start, length - side) for start in range(0, length - side + step, step)]


def _weights(size: int, cells: int, align_corners: bool = False) -> np.ndarray:
    return linear_weights(size, cells, align_corners).astype("float32")


def _resize(x, size) -> np.ndarray:
    """An image `(h, w, C)` at another size."""
    return x if x.shape[:2] == size else resized_part(x, size, *map(slice, (0, 0), size))


def _resized(x, rows, columns) -> np.ndarray:
    """`(H, W, C)` of an array `(h, w, C)`, by interpolations `(H, h)` and `(W, w)`."""
    x = np.tensordot(rows, x, 1)
    return np.tensordot(columns, x, (1, 1)).swapaxes(0, 1)


def _softmax(logits) -> np.ndarray:
    y = np.exp(logits - logits.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    return y


def _without_resize(model: keras.Model) -> tuple[keras.Model, bool]:
    """A model up to its last resize, which costs less later, and `align_corners` of that."""
    last = model.outputs[0]._keras_history.operation
    if not isinstance(last, ResizeLike):
        return model, False
    return keras.Model(model.input, last.input[0]), last.align_corners
