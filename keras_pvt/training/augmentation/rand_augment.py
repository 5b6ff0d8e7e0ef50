"""RandAugment: a few random operations of about the same strength."""

import dataclasses
import re

import numpy as np

from keras_pvt.training.augmentation.operations import OPERATIONS, Color
from keras_pvt.training.augmentation.pictures import to_pil
from keras_pvt.variants import IMAGENET_MEAN

MAX_LEVEL = 10.0
DEFAULTS = {"m": "10", "n": "2", "mstd": "0"}
FILL: Color = tuple(round(255 * mean) for mean in IMAGENET_MEAN)  # zero when normalised


@dataclasses.dataclass(frozen=True)
class RandAugment:
    """Random operations on an image; the defaults are DeiT's and PVT's.

    Args:
        magnitude: mean level of the operations, 0 to 10.
        magnitude_std: standard deviation of the level, which is drawn anew for each
            operation, and clipped to 0..10.
        count: operations drawn for an image, with replacement.
        probability: probability that a drawn operation is applied.
        fill: RGB, 0..255, of pixels that come in from outside.
    Raises:
        ValueError: a value outside its range.
    Source:
        "RandAugment", arXiv 1909.13719, with the changes of timm 0.3.2, named
        "rand-m9-mstd0.5-inc1" there: the levels vary, half of the operations are left out.
    """

    magnitude: float = 9.0
    magnitude_std: float = 0.5
    count: int = 2
    probability: float = 0.5
    fill: Color = FILL

    def __post_init__(self) -> None:
        if not 0 <= self.magnitude <= MAX_LEVEL:
            raise ValueError(f"`magnitude` must be 0 to 10; got {self.magnitude}.")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"`probability` must be 0 to 1; got {self.probability}.")
        for name in ("magnitude_std", "count"):
            if getattr(self, name) < 0:
                raise ValueError(f"`{name}` must be at least 0; got {getattr(self, name)}.")

    @classmethod
    def parse(cls, text: str) -> "RandAugment":
        """Read timm's notation, such as "rand-m9-mstd0.5-inc1".

        Args:
            text: "rand", then in any order, with hyphens between: "inc1", which must be
                there; "m" and the magnitude, otherwise 10; "mstd" and the standard deviation,
                otherwise 0; "n" and the count, otherwise 2.
        Returns:
            The augmentation that the text describes.
        Raises:
            ValueError: anything else. timm's operations without "inc1", most of which get
                weaker with the level, and its weights "w" are not here; timm 0.3.2 itself
                reads "inc0" as "inc1".
        """
        head, *parts = text.split("-")
        found: dict[str, str] = {}
        for part in parts:
            match = re.fullmatch(r"(inc)(1)|(n)(\d+)|(m|mstd)(\d+(?:\.\d+)?)", part)
            name, value = filter(None, match.groups()) if match else ("", "")
            if not match or name in found:
                raise ValueError(f"RandAugment {text!r}: {part!r} is not known, or is said twice.")
            found[name] = value
        if head != "rand" or "inc" not in found:
            raise ValueError(f"RandAugment {text!r} must start with 'rand' and have 'inc1'.")
        found = DEFAULTS | found
        return cls(float(found["m"]), float(found["mstd"]), int(found["n"]))

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A changed image.

        Args:
            image: RGB `(H, W, 3)`, uint8.
            rng: is drawn from.
        Returns:
            uint8 `(H, W, 3)`, a new array.
        Raises:
            ValueError: an image of other shape or dtype.
        """
        picture = to_pil(image)
        names = list(OPERATIONS)
        for index in rng.integers(len(names), size=self.count):
            if rng.random() >= self.probability:
                continue
            level = float(np.clip(rng.normal(self.magnitude, self.magnitude_std), 0, MAX_LEVEL))
            sign = -1 if rng.random() > 0.5 else 1
            picture = OPERATIONS[names[index]](picture, sign * level / MAX_LEVEL, self.fill)
        return np.array(picture)
