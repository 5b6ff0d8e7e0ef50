"""Folders of small images, drawn for the tests."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image


def write_images(
    folder: pathlib.Path, counts: dict[str, int], pixels: Callable[[str, int], np.ndarray]
) -> None:
    """Images FOLDER/CLASS/nn.png of `pixels(class, n)`, asked for in the order of their names."""
    for name in sorted(counts):
        (folder / name).mkdir(parents=True)
        for n in range(counts[name]):
            image = Image.fromarray(pixels(name, n).astype("uint8"))
            image.save(folder / name / f"{n:02}.png")


def write_classes(folder: pathlib.Path, counts: dict[str, int]) -> pathlib.Path:
    """Images of unequal sizes, each of a gray of its own: 0, 1, 2 ... by the names of classes
    and files."""
    grays = iter(range(256))
    write_images(folder, counts, lambda _, n: np.full((5 + n, 9 - n % 3, 3), next(grays)))
    return folder


def grays(batch: np.ndarray) -> list[int]:
    """The numbers of the images that a batch was made of by `corner`."""
    return batch[:, 0].astype(int).tolist()


def corner(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stands in for an augmentation: the gray of an image, and what was drawn for it."""
    return np.array([image[0, 0, 0], rng.random()], "float32")


class Grays:
    """Images of 1x1, each of a gray of its own, some of which cannot be read."""

    def __init__(self, count: int, classes: Sequence[str] = ("a", "b", "c"), bad=()):
        self.classes, self.bad = tuple(classes), set(bad)
        self.labels = np.arange(count) % len(self.classes)
        self.read_ones: list[int] = []

    def __len__(self):
        return len(self.labels)

    def label(self, number):
        return int(self.labels[number])

    def name(self, number):
        return f"gray {number}"

    def read(self, number):
        self.read_ones.append(number)
        if number in self.bad:
            raise OSError(f"{self.name(number)} is gone")
        return np.full((1, 1, 3), number, "uint8")
