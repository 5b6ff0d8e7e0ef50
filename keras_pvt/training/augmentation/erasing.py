"""Random erasing: noise in place of a part of an image."""

import dataclasses

import numpy as np

from keras_pvt.training.augmentation.crops import draw_sides


@dataclasses.dataclass(frozen=True)
class RandomErasing:
    """One box of normal noise, in some images; the defaults are DeiT's and PVT's.

    Args:
        probability: that an image gets a box.
        area: smallest and largest part of the image's area, 0..1; drawn evenly.
        ratio: smallest and largest height over width of the box; drawn evenly in the
            logarithm. Of ten draws the first is taken that is smaller than the image each way;
            if none is, the image stays as it is.
    Raises:
        ValueError: a probability or area outside 0..1, or a ratio not above 0.
    Source:
        "Random erasing", arXiv 1708.04896; the mode "pixel" of timm 0.3.2
        timm/data/random_erasing.py.
    """

    probability: float = 0.25
    area: tuple[float, float] = (0.02, 1 / 3)
    ratio: tuple[float, float] = (0.3, 1 / 0.3)

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"`probability` must be 0 to 1; got {self.probability}.")
        if not 0 <= self.area[0] <= self.area[1] <= 1:
            raise ValueError(f"`area` must be (least, most) of 0 to 1; got {self.area}.")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"`ratio` must be (least, most) above 0; got {self.ratio}.")

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """An image with a box of noise of mean 0 and deviation 1, or the image itself.

        Args:
            image: `(H, W, C)`, float32, normalised. It is not written to.
            rng: is drawn from.
        Returns:
            float32 `(H, W, C)`.
        Raises:
            ValueError: an image of other rank or dtype.
        """
        if image.dtype != np.float32 or image.ndim != 3:
            raise ValueError(
                "`image` must be normalised, float32 (height, width, channels); got "
                f"{image.dtype} {image.shape}."
            )
        if rng.random() >= self.probability:
            return image
        height, width, channels = image.shape
        for tall, wide in draw_sides((height, width), self.area, self.ratio, rng):
            if tall < height and wide < width:
                top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
                image = image.copy()
                image[top : top + tall, left : left + wide] = rng.standard_normal(
                    (tall, wide, channels), "float32"
                )
                break
        return image
