"""Random brightness, contrast, saturation and hue."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class PhotometricDistortion:
    """Brightness, contrast, saturation and hue, each changed in half of the images.

    Contrast comes before saturation and hue, or after them, as likely. Values are clipped to
    0..255 after each change.

    Args:
        brightness: most that is added to or taken from all values.
        contrast: smallest and largest factor of all values.
        saturation: smallest and largest factor of the saturation of HSV.
        hue: most that the hue is turned, in degrees.
        probability: of each of the four.
    Source:
        mmsegmentation 0.13 mmseg/datasets/pipelines/transforms.py, `PhotoMetricDistortion`, with
        its default values; its hue of 18 is in units of 2 degrees. Differs: fractions are kept,
        where the source cuts them off after each change, and the hue is not a whole number.
    """

    brightness: float = 32
    contrast: tuple[float, float] = (0.5, 1.5)
    saturation: tuple[float, float] = (0.5, 1.5)
    hue: float = 36
    probability: float = 0.5

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A changed image, new, float32, of RGB 0..255 `(H, W, 3)`, by draws from `rng`."""
        chances = [self.probability] * 4 + [0.5]
        brightness, contrast, saturation, hue, first = rng.random(5) < chances
        added = rng.uniform(-self.brightness, self.brightness)
        factor = np.float32(rng.uniform(*self.contrast))
        purer = rng.uniform(*self.saturation)
        turned = rng.uniform(-self.hue, self.hue)
        image = np.array(image, "float32")
        if brightness:
            image = np.clip(image + np.float32(added), 0, 255)
        if contrast and first:
            image = np.clip(image * factor, 0, 255)
        if saturation or hue:
            image = change_colour(image, purer if saturation else 1, turned if hue else 0)
        if contrast and not first:
            image = np.clip(image * factor, 0, 255)
        return image


def change_colour(image: np.ndarray, saturation: float, hue: float) -> np.ndarray:
    """Multiply the saturation of HSV, at most to 1, and turn the hue; the value stays.

    Args:
        image: RGB `(H, W, 3)`, floats, 0 and up.
        saturation: factor, at least 0.
        hue: degrees; a positive one turns red towards green.
    Returns:
        float32 of the same shape.
    """
    planes = np.array(np.moveaxis(image, -1, 0), "float32", order="C")  # (3, H, W): much faster
    value = planes.max(axis=0)
    chroma = value - planes.min(axis=0)
    new_chroma = np.minimum(chroma * np.float32(saturation), value)
    divisor = np.where(chroma > 0, chroma, np.float32(1))
    # The part of the chroma, 0 to 1, that each channel lacks.
    if hue:
        turned = _sixths(planes, value, divisor) + np.float32(hue / 60)
        turned -= 6 * np.floor(turned / 6)
        # Red lacks all of it in the third that is opposite, around 3.
        lacks = np.stack([2 - abs(turned - 3), abs(turned - 2) - 1, abs(turned - 4) - 1])
        lacks = np.clip(lacks, 0, 1)
    else:
        lacks = (value - planes) / divisor
    changed = np.empty(image.shape, "float32")
    for channel, lack in enumerate(lacks):
        changed[..., channel] = value - new_chroma * lack
    return changed


def _sixths(planes: np.ndarray, value: np.ndarray, divisor: np.ndarray) -> np.ndarray:
    """The hue in sixths of a turn, -1 to 5; 0 for gray."""
    red, green, blue = planes
    return np.where(
        value == red,
        (green - blue) / divisor,
        np.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
