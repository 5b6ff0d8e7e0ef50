"""Images in class folders."""

import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from keras_pvt.utils.image_files import SUFFIXES
from keras_pvt.utils.images import load_image

SHOWN = 5  # names in a message


class FolderImages:
    """The images FOLDER/CLASS/*, classes and files sorted by name; decoded when they are read.

    What begins with a dot, other files and deeper folders are passed over.

    Args:
        folder: with a folder for each class.
        classes: names of the classes in the order of their labels, such as those of the training
            set; by default the names of the class folders, sorted.
    Raises:
        OSError: a folder that is not there or cannot be read.
        ValueError: fewer than two class folders, one without an image, or others than `classes`.
    """

    def __init__(self, folder: str | os.PathLike, classes: Sequence[str] | None = None):
        self.folder = pathlib.Path(folder)
        found = sorted(entry.name for entry in _entries(self.folder) if entry.is_dir())
        if len(found) < 2:
            raise ValueError(
                f"folder {os.fspath(folder)!r} must have a folder for each of two or more classes; "
                f"it has {_names(found)}."
            )
        self.classes = tuple(found if classes is None else classes)
        if set(self.classes) != set(found):
            raise ValueError(
                f"the class folders of {os.fspath(folder)!r} must be those of the training set; "
                f"missing: {_names(set(self.classes) - set(found))}; "
                f"unknown: {_names(set(found) - set(self.classes))}."
            )
        files = [_images(self.folder / name) for name in self.classes]
        self._files = [name for names in files for name in names]
        self.labels = np.repeat(np.arange(len(files)), [len(names) for names in files])

    def __len__(self) -> int:
        return len(self._files)

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
            Its path.
        """
        return str(self._path(number))

    def read(self, number: int) -> np.ndarray:
        """Read an image.

        Args:
            number: index of the image, from 0.
        Returns:
            uint8 `(H, W, 3)`, RGB 0..255.
        Raises:
            OSError: the file cannot be opened.
            ImageError: it cannot be decoded.
        """
        return load_image(self._path(number))

    def _path(self, number: int) -> pathlib.Path:
        return self.folder / self.classes[self.labels[number]] / self._files[number]


def _images(folder: pathlib.Path) -> list[str]:
    """Names of the images in a folder, sorted."""
    names = [entry.name for entry in _entries(folder) if not entry.is_dir()]
    names = sorted(name for name in names if name.lower().endswith(SUFFIXES))
    if not names:
        raise ValueError(
            f"class folder {os.fspath(folder)!r} has no image ({', '.join(SUFFIXES)})."
        )
    return names


def _entries(folder: pathlib.Path) -> list[os.DirEntry]:
    # Not pathlib: the kind of an entry comes with its name, without asking for each of a million.
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        message = f"folder {os.fspath(folder)!r} cannot be read: {error.strerror}."
        raise type(error)(message) from error


def _names(names: Iterable[str]) -> str:
    """Some of the names, for a message."""
    names = sorted(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "none") + more
