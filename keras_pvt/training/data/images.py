"""What a source of labelled images has to offer."""

from typing import Protocol

import numpy as np


class Images(Protocol):
    """Labelled images, each of which can be read by its number, by several threads at once."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the labels."""

    @property
    def labels(self) -> np.ndarray:
        """`(N,)` integers, 0 to `len(classes) - 1`. Some sources read everything for it."""

    def __len__(self) -> int: ...

    def label(self, number: int) -> int:
        """Label of one image."""

    def name(self, number: int) -> str:
        """What a message calls the image."""

    def read(self, number: int) -> np.ndarray:
        """The image, uint8 `(H, W, 3)`, RGB 0..255; each may have a size of its own.

        Raises:
            OSError: it cannot be opened.
            ValueError: it cannot be decoded.
        """
