"""Transforms from an image to a model's input: random in training, fixed in evaluation."""

import dataclasses

import numpy as np
from PIL import ImageEnhance

from keras_pvt.models.preprocessing import preprocess_input
from keras_pvt.recipes.classification import CROPS, Crop
from keras_pvt.training.augmentation.crops import random_flip, random_resized_crop, random_shift
from keras_pvt.training.augmentation.erasing import RandomErasing
from keras_pvt.training.augmentation.pictures import Size, height_and_width, resize, to_pil
from keras_pvt.training.augmentation.rand_augment import RandAugment
from keras_pvt.utils.images import eval_transform

ENHANCEMENTS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


@dataclasses.dataclass(frozen=True)
class ColorJitter:
    """Changes brightness, contrast and saturation, in random order, each by its own factor.

    For recipes without RandAugment. DeiT and PVT have an option of 0.4 for it, which has no effect
    in their recipes because RandAugment is on.

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


# Smaller images are data sets of thumbnails, with nothing around the object to cut off.
SMALL = 64


@dataclasses.dataclass(frozen=True)
class TrainTransform:
    """Crop, flip, RandAugment or colour jitter, normalisation, erasing: in this order.

    The official recipe is `TrainTransform(224, rand_augment="rand-m9-mstd0.5-inc1",
    erasing=0.25)`, and `MixUpCutMix` on the batches of its results.

    Args:
        size: of the result in pixels: a side, or (height, width).
        crop: "resized" for `random_resized_crop`, "shift" for `random_shift`, or "none". The
            last two first resize an image of another size, bicubic, whatever its proportions.
        flip: whether half of the images are mirrored left to right.
        rand_augment: a text that `RandAugment.parse` reads; None for none.
        color_jitter: strength of `ColorJitter`; as in DeiT, it has no effect with `rand_augment`.
        erasing: probability of `RandomErasing`.
        scale: parts of the area for `random_resized_crop`.
        shift: pixels for `random_shift`.
    Raises:
        ValueError: an unknown crop, a RandAugment that cannot be read, a value out of range.
    Source:
        whai362/PVT classification/datasets.py and timm 0.3.2 timm/data/transforms_factory.py.
        For images of up to 32 pixels they shift, as "shift" does but with zeros around.
    """

    size: Size
    crop: Crop = "resized"
    flip: bool = True
    rand_augment: str | None = None
    color_jitter: float = 0.0
    erasing: float = 0.0
    scale: tuple[float, float] = (0.08, 1.0)
    shift: int = 4
    _recolor: RandAugment | ColorJitter | None = dataclasses.field(init=False, repr=False)
    _erase: RandomErasing = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        height_and_width(self.size)
        if self.crop not in CROPS:
            raise ValueError(f"`crop` must be one of {', '.join(CROPS)}; got {self.crop!r}.")
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"`scale` must be (least, most) of 0 to 1; got {self.scale}.")
        if self.shift < 0:
            raise ValueError(f"`shift` must be at least 0; got {self.shift}.")
        jitter = ColorJitter(self.color_jitter) if self.color_jitter else None
        augment = None if self.rand_augment is None else RandAugment.parse(self.rand_augment)
        object.__setattr__(self, "_recolor", augment or jitter)
        object.__setattr__(self, "_erase", RandomErasing(self.erasing))

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Transform an image at random.

        Args:
            image: RGB `(H, W, 3)`, uint8, as from `load_image`.
            rng: is drawn from.
        Returns:
            float32 `(height, width, 3)`, normalised as by `preprocess_input`.
        Raises:
            ValueError: an image of other shape or dtype.
        """
        image = self._cropped(image, rng)
        if self.flip:
            image = random_flip(image, rng)
        if self._recolor is not None:
            image = self._recolor(image, rng)
        return self._erase(preprocess_input(image), rng)

    def _cropped(self, image, rng):
        if self.crop == "resized":
            return random_resized_crop(image, self.size, rng, self.scale)
        image = resize(image, self.size)
        return random_shift(image, self.shift, rng) if self.crop == "shift" else image


@dataclasses.dataclass(frozen=True)
class EvalTransform:
    """The crop that accuracy is measured on, normalised.

    Args:
        size: side of the result in pixels.
        whole: whether the whole image is resized, bicubic, whatever its proportions, instead of
            cropped as by `keras_pvt.eval_transform`. By default True below 64 pixels.
    """

    size: int
    whole: bool | None = None

    def __call__(self, image: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """float32 `(size, size, 3)`, normalised, of an RGB image `(H, W, 3)`, uint8.

        Nothing is drawn from `rng`, which is there for `ImageBatches`.

        Raises:
            ValueError: an image of other shape or dtype.
        """
        whole = self.size < SMALL if self.whole is None else self.whole
        return preprocess_input(
            resize(image, self.size) if whole else eval_transform(image, self.size)
        )
