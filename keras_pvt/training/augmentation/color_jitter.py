"""Random brightness, contrast and saturation."""

import dataclasses

import numpy as np
from PIL import ImageEnhance

from keras_pvt.training.augmentation.pictures import to_pil

ENHANCEMENTS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


@dataclasses.dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast and saturation, in random order, each by a factor of its own.

    For recipes without RandAugment. DeiT and PVT have an option for it, of 0.4, that does
    nothing while RandAugment is on, as it is in their recipes.

    Args:
        strength: largest distance of a factor from 1, at least 0. Factors are drawn evenly,
            and are not below 0.
    Raises:
        ValueError: `strength` is below 0.
    Source:
        timm 0.3.2 timm/data/transforms_factory.py, and torchvision's ColorJitter that it uses.
    """

    strength: float = 0.4

    def __post_init__(self) -> None:
        if self.strength < 0:
            raise ValueError(f"`strength` must be at least 0; got {self.strength}.")

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A changed image, a new uint8 array, of RGB `(H, W, 3)`, uint8, by draws from `rng`."""
        picture = to_pil(image)
        for index in rng.permutation(len(ENHANCEMENTS)):
            factor = rng.uniform(max(0.0, 1 - self.strength), 1 + self.strength)
            picture = ENHANCEMENTS[index](picture).enhance(factor)
        return np.array(picture)
