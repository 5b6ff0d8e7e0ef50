"""Label smoothing, MixUp and CutMix; a batch is mixed with itself in reverse order."""

import dataclasses
import math

import numpy as np


def smooth_labels(labels, classes: int, smoothing: float = 0.1) -> np.ndarray:
    """One-hot labels, with a part of their weight spread evenly over all classes.

    Args:
        labels: integers `(B,)`, 0 to `classes` - 1.
        classes: how many there are.
        smoothing: the part that is spread, 0..1; 0 gives one-hot labels.
    Returns:
        float32 `(B, classes)`; each row sums to 1.
    Raises:
        ValueError: a label out of range, labels of other shape or dtype, or a smoothing
            outside 0..1.
    Source:
        "Rethinking the Inception architecture", arXiv 1512.00567, section 7; the values of
        timm 0.3.2 timm/data/mixup.py, where the class itself has its share of what is spread.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"`labels` must be integers of shape (batch,); got {labels.dtype} {labels.shape}."
        )
    if not 0 <= smoothing <= 1:
        raise ValueError(f"`smoothing` must be 0 to 1; got {smoothing}.")
    outside = np.flatnonzero((labels < 0) | (labels >= classes))
    if outside.size:
        at = outside[0]
        raise ValueError(f"label {labels[at]}, at {at}, is not one of 0 to {classes - 1}.")
    rest = smoothing / classes
    smooth = np.full((len(labels), classes), rest, "float32")
    smooth[np.arange(len(labels)), labels] = 1 - smoothing + rest
    return smooth


@dataclasses.dataclass(frozen=True)
class MixUpCutMix:
    """Mix a batch with itself in reverse order; the defaults are DeiT's and PVT's.

    All images of a batch are mixed by the same one of the two, with the same weight and box.

    Args:
        mixup: parameter of the symmetric Beta distribution of MixUp's weight; 0 leaves MixUp
            out.
        cutmix: parameter of the symmetric Beta distribution of the part of an image that CutMix
            keeps; 0 leaves CutMix out.
        switch_probability: of CutMix, where both are on.
        probability: that a batch is mixed at all.
    Raises:
        ValueError: a parameter below 0, or a probability outside 0..1.
    Source:
        "mixup", arXiv 1710.09412, and "CutMix", arXiv 1905.04899; the mode "batch" of timm
        0.3.2 timm/data/mixup.py. Differs: that takes even batches only. In an odd one the
        image in the middle is mixed with itself, and stays as it is.
    """

    mixup: float = 0.8
    cutmix: float = 1.0
    switch_probability: float = 0.5
    probability: float = 1.0

    def __post_init__(self) -> None:
        for name in ("mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must be at least 0; got {getattr(self, name)}.")
        for name in ("switch_probability", "probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` must be 0 to 1; got {getattr(self, name)}.")

    def __call__(
        self, images: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mixed images and labels.

        Args:
            images: `(B, H, W, C)`, float. They are not written to.
            labels: distributions `(B, classes)`, float, as from `smooth_labels`.
            rng: is drawn from.
        Returns:
            Both in the same shapes and dtypes; what was given where nothing is mixed.
        Raises:
            ValueError: other ranks or dtypes, or unequal batches.
        """
        _check(images, labels)
        if not (self.mixup or self.cutmix) or rng.random() >= self.probability:
            return images, labels
        both = self.mixup > 0 and self.cutmix > 0
        cut = rng.random() < self.switch_probability if both else self.cutmix > 0
        alpha = self.cutmix if cut else self.mixup
        kept = rng.beta(alpha, alpha)
        if cut:
            images, kept = _paste(images, kept, rng)
        else:
            images = _blend(images, kept)
        return images, _blend(labels, kept)


def _blend(values, kept):
    return kept * values + (1 - kept) * values[::-1]


def _paste(images, kept, rng):
    """Images with a box of the opposite ones, and the part of the area that is their own.

    The centre is anywhere in the image, so that a box may be cut off.
    """
    bounds = []
    for side in images.shape[1:3]:
        half = int(side * math.sqrt(1 - kept)) // 2
        centre = int(rng.integers(side))
        bounds.append(slice(max(0, centre - half), min(side, centre + half)))
    box = (slice(None), *bounds)
    mixed = images.copy()
    mixed[box] = images[::-1][box]
    height, width = (bound.stop - bound.start for bound in bounds)
    return mixed, 1 - height * width / (images.shape[1] * images.shape[2])


def _check(images, labels):
    if images.ndim != 4 or images.dtype.kind != "f":
        raise ValueError(f"`images` must be float (B, H, W, C); got {images.dtype} {images.shape}.")
    if labels.ndim != 2 or labels.dtype.kind != "f" or len(labels) != len(images):
        raise ValueError(
            f"`labels` must be float ({len(images)}, classes), as from `smooth_labels`; got "
            f"{labels.dtype} {labels.shape}."
        )
