"""Images that are decoded once and held in memory."""

import logging

import numpy as np

from keras_pvt.training.data.images import Images
from keras_pvt.utils.images import ImageError
from keras_pvt.utils.threads import each

logger = logging.getLogger("keras_pvt")


class InMemory:
    """Images of another source, all decoded at once, by threads: for small sets.

    An image that cannot be read raises its error when it is asked for, as from the source. The
    arrays are read-only.

    Args:
        images: the source; sizes may differ.
    Attributes:
        nbytes: memory that the images take, which is logged too.
    """

    def __init__(self, images: Images):
        self.classes, self.labels = images.classes, images.labels
        self._names = [images.name(number) for number in range(len(images))]

        def read(number: int) -> np.ndarray | str:
            try:
                pixels = images.read(number)
            except (OSError, ValueError) as error:
                return str(error)
            pixels.flags.writeable = False
            return pixels

        self._pixels = each(read, range(len(images)), "decoding images")
        self.nbytes = sum(p.nbytes for p in self._pixels if isinstance(p, np.ndarray))
        logger.info("%d images take %.1f MB of memory", len(self), self.nbytes / 1e6)

    def __len__(self) -> int:
        return len(self._names)

    def label(self, number: int) -> int:
        """The label of an image.

        Args:
            number: index of the image, from 0.
        Returns:
            Index of its class.
        """
        return int(self.labels[number])

    def name(self, number: int) -> str:
        """The name of an image in messages.

        Args:
            number: index of the image, from 0.
        Returns:
            As the source names it.
        """
        return self._names[number]

    def read(self, number: int) -> np.ndarray:
        """Read an image.

        Args:
            number: index of the image, from 0.
        Returns:
            uint8 `(H, W, 3)`, RGB 0..255.
        Raises:
            ImageError: it could not be read.
        """
        pixels = self._pixels[number]
        if isinstance(pixels, str):
            raise ImageError(pixels)
        return pixels
