"""Random changes of training images that keep every pixel with its label."""

import dataclasses

import numpy as np

from keras_pvt.segmentation.data.photometric import PhotometricDistortion
from keras_pvt.segmentation.data.samples import IGNORED
from keras_pvt.utils.resizing import fit_scale, resized_labels_part, resized_part, scaled
from keras_pvt.variants import IMAGENET_MEAN

CROP_TRIES = 10  # further parts that are looked at while one class has too much of them


@dataclasses.dataclass(frozen=True)
class TrainTransform:
    """Scale, crop, flip and distort, in this order.

    An image smaller than the crop gets the mean colour of ImageNet at its right and lower edge,
    which is 0 after the normalisation; its labels there are `IGNORED`.

    Args:
        crop: (height, width) of the result in pixels.
        base: sides, in pixels and either order, that a scale of 1 brings an image to: as large
            as it can be with its long side at most the longer one, its short side at most the
            shorter one. ADE20K has (2048, 512). None takes each image's own size.
        scales: smallest and largest scale; drawn evenly.
        flip: probability of mirroring left to right.
        photometric: whether to change colours, see `PhotometricDistortion`.
        max_share: a part of the image of which one class has this share or more, of the pixels
            that have a class, is drawn anew, up to ten times; 1 takes any.
    Raises:
        ValueError: arguments out of range.
    Source:
        mmsegmentation 0.13: `Resize` with `ratio_range`, `RandomCrop` with `cat_max_ratio`,
        `RandomFlip`, `PhotoMetricDistortion`, `Pad`, as PVT's configuration of Semantic FPN has
        them. Differs: values are not rounded, and labels are taken at the centres of pixels,
        where OpenCV's nearest takes their corners.
    """

    crop: tuple[int, int]
    base: tuple[int, int] | None = None
    scales: tuple[float, float] = (0.5, 2.0)
    flip: float = 0.5
    photometric: bool = True
    max_share: float = 0.75

    def __post_init__(self) -> None:
        for name, size in (("crop", self.crop), ("base", self.base)):
            if size is not None and (len(size) != 2 or min(size) < 1):
                raise ValueError(f"`{name}` must be two sides of 1 pixel or more; got {size}.")
        if not 0 < self.scales[0] <= self.scales[1]:
            raise ValueError(f"`scales` must be above 0, the smaller first; got {self.scales}.")
        if not (0 <= self.flip <= 1 and 0 < self.max_share <= 1):
            raise ValueError(
                "`flip` must be 0 to 1 and `max_share` above 0, up to 1; got "
                f"{self.flip} and {self.max_share}."
            )

    def __call__(
        self, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """A changed image and its labels, by draws from `rng`.

        Args:
            image: RGB `(H, W, 3)`, uint8.
            labels: `(H, W)`, uint8.
            rng: is drawn from.
        Returns:
            float32 `(*crop, 3)`, RGB 0..255, and uint8 `(*crop)`.
        """
        size = self._size(labels.shape, rng.uniform(*self.scales))
        part, own = self._part(labels, size, rng)
        pixels = resized_part(image, size, *part)
        if rng.random() < self.flip:
            pixels, own = pixels[:, ::-1], own[:, ::-1]
        if self.photometric:
            pixels = PhotometricDistortion()(pixels, rng)
        return self._padded(pixels, own)

    def _size(self, size, scale):
        if self.base is None:
            return scaled(size, scale)
        # Whole pixels before they meet the image, as in the source.
        first, second = (max(1, int(side * scale)) for side in self.base)
        return scaled(size, fit_scale(size, (first, second), turned=True))

    def _part(self, labels, size, rng):
        """Rows and columns of the resized image, and the labels there."""
        for _ in range(CROP_TRIES + 1):
            part = tuple(_slice(side, own, rng) for side, own in zip(size, self.crop, strict=True))
            own = resized_labels_part(labels, size, *part)
            if self.max_share == 1 or _largest_share(own) < self.max_share:
                break
        return part, own

    def _padded(self, pixels, labels):
        height, width = labels.shape
        if (height, width) == self.crop:
            return np.ascontiguousarray(pixels), np.ascontiguousarray(labels)
        canvas = np.empty((*self.crop, 3), "float32")
        canvas[:] = 255 * np.array(IMAGENET_MEAN, "float32")
        canvas[:height, :width] = pixels
        classes = np.full(self.crop, IGNORED, "uint8")
        classes[:height, :width] = labels
        return canvas, classes


def _slice(side: int, crop: int, rng: np.random.Generator) -> slice:
    first = int(rng.integers(max(side - crop, 0) + 1))
    return slice(first, first + min(side, crop))


def _largest_share(labels: np.ndarray) -> float:
    """Share of the most frequent class among the pixels that have one; 1 if there are none."""
    counts = np.bincount(labels.ravel(), minlength=IGNORED + 1)[:IGNORED]
    return counts.max() / counts.sum() if counts.any() else 1.0
