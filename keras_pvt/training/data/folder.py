"""Images in class folders."""

import os
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np

from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.image_files import NO_IMAGE, by_ending, without_image
from keras_pvt.utils.images import load_image

SHOWN = 5  # names in a message


class FolderImages:
    """The images FOLDER/CLASS/*, classes and files sorted by name; decoded when they are read.

    Images are the files whose endings Pillow reads. Names that begin with a dot are skipped. Other
    files and subfolders are skipped and counted.

    Args:
        folder: with a folder for each class.
        classes: names of the classes in the order of their labels, such as those of the training
            set; by default the names of the class folders, sorted.
        report: counts what is skipped; by default a new report.
        fewest: class folders that there must be; one will do to measure a model.
    Attributes:
        report: report of what was skipped.
    Raises:
        OSError: a folder does not exist or cannot be read.
        ValueError: fewer class folders, one without an image, or others than `classes`.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        classes: Sequence[str] | None = None,
        report: DataReport | None = None,
        fewest: int = 2,
    ):
        self.folder = pathlib.Path(folder)
        self.report = DataReport() if report is None else report
        found, beside = _listed(self.folder)
        if len(found) < fewest:
            wanted = "two or more classes" if fewest == 2 else "its classes"
            raise ValueError(
                f"folder {os.fspath(folder)!r} must have a folder for each of {wanted}; "
                f"it has {_names(found)}."
            )
        self.classes = tuple(found if classes is None else classes)
        if set(self.classes) != set(found):
            raise ValueError(
                f"the class folders of {os.fspath(folder)!r} must be those of the training set; "
                f"missing: {_names(set(self.classes) - set(found))}; "
                f"unknown: {_names(set(found) - set(self.classes))}."
            )
        for name in beside:
            self.report.add("file beside the class folders: passed over", str(self.folder / name))
        files = [_images(self.folder / name, self.report) for name in self.classes]
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


def _images(folder: pathlib.Path, report: DataReport) -> list[str]:
    """Names of the images in a folder, sorted."""
    folders, files = _listed(folder)
    images, others = by_ending(files)
    for name in folders:
        report.add("folder in that of a class: passed over, with all in it", str(folder / name))
    for name in others:
        report.add(NO_IMAGE, str(folder / name))
    if not images:
        raise ValueError(f"class folder {without_image(folder, others)}")
    return images


def _listed(folder: pathlib.Path) -> tuple[list[str], list[str]]:
    """Names of the folders and of the files in a folder, each sorted, without hidden ones."""
    folders: list[str] = []
    files: list[str] = []
    # Not pathlib: the kind of an entry comes with its name, without asking for each of a million.
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    (folders if entry.is_dir() else files).append(entry.name)
    except OSError as error:
        message = f"folder {os.fspath(folder)!r} cannot be read: {error.strerror}."
        raise type(error)(message) from error
    return sorted(folders), sorted(files)


def _names(names: Iterable[str]) -> str:
    """Some of the names, for a message."""
    names = sorted(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (", ".join(names[:SHOWN]) or "none") + more
