"""The interface of sources of labelled images."""

from typing import Protocol

import numpy as np


class Images(Protocol):
    """Labelled images, each of which can be read by its number, by several threads at once."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the labels."""

    @property
    def labels(self) -> np.ndarray:
        """`(N,)` integers, 0 to `len(classes) - 1`. Some sources read all images for it."""

    def __len__(self) -> int: ...

    def label(self, number: int) -> int:
        """The label of an image.

        Args:
            number: index of the image, from 0.
        Returns:
            Index of its class.
        """

    def name(self, number: int) -> str:
        """The name of an image in messages.

        Args:
            number: index of the image, from 0.
        Returns:
            Its path, or its place in the set.
        """

    def read(self, number: int) -> np.ndarray:
        """Read an image.

        Args:
            number: index of the image, from 0.
        Returns:
            uint8 `(H, W, 3)`, RGB 0..255; each image may have a size of its own.
        Raises:
            OSError: it cannot be opened.
            ValueError: it cannot be decoded.
        """
