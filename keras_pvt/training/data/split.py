"""A part of the images to validate on, where a data set has none."""

import numpy as np

from keras_pvt.training.data.images import Images


class Part:
    """Some of the images of another source, see `Images`.

    Args:
        images: the source.
        numbers: of the images that are in the part, in order.
    """

    def __init__(self, images: Images, numbers: np.ndarray):
        self.images, self.numbers = images, numbers
        self.classes, self.labels = images.classes, images.labels[numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def label(self, number: int) -> int:
        return int(self.labels[number])

    def name(self, number: int) -> str:
        return self.images.name(self.numbers[number])

    def read(self, number: int) -> np.ndarray:
        return self.images.read(self.numbers[number])


def stratified(images: Images, share: float, seed: int) -> tuple[Part, Part]:
    """The images to train on and to validate on: of each class the same share, one at least.

    Args:
        images: all of them; a class that has one image is trained on only.
        share: to validate on, 0 to 1.
        seed: draws which.
    Raises:
        ValueError: no class has two images.
    """
    chosen = []
    for label in range(len(images.classes)):
        own = np.flatnonzero(images.labels == label)
        if len(own) > 1:
            chosen.append(own[drawn(len(own), share, (seed, label))[1]])
    if not chosen:
        raise ValueError(f"{len(images)} images of {len(images.classes)} classes cannot be split.")
    second = np.sort(np.concatenate(chosen))
    return Part(images, np.delete(np.arange(len(images)), second)), Part(images, second)


def drawn(count: int, share: float, seed) -> tuple[np.ndarray, np.ndarray]:
    """Numbers 0 to `count - 1` in two parts, each in order; the second is a share, one at least.

    Args:
        count: 2 or more.
        share: of the second part, 0 to 1; one number at least stays in the first.
        seed: draws which.
    """
    order = np.random.default_rng(seed).permutation(count)
    second = min(max(1, round(share * count)), count - 1)
    return np.sort(order[second:]), np.sort(order[:second])
