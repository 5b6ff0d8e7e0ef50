"""Data sets by name: a folder, or a data set of tensorflow-datasets."""

import os
import pathlib
from collections.abc import Sequence

from keras_pvt.training.data.folder import FolderImages
from keras_pvt.training.data.images import Images
from keras_pvt.training.data.split import stratified
from keras_pvt.training.data.tfds import TfdsImages, download, find_split, open_builder
from keras_pvt.utils.data_report import DataReport

VALIDATION = ("val", "validation", "test")  # folders, the first that is there


def open_images(
    data: str | os.PathLike,
    split: str,
    classes: Sequence[str] | None = None,
    data_dir: str | os.PathLike | None = None,
    report: DataReport | None = None,
) -> Images:
    """Open one split of a data set.

    Args:
        data: a folder with a folder for each split, or the name of a set of tensorflow-datasets.
        split: such as "train". "val" is the first of "val", "validation" and "test" that exists.
        classes: names of the classes in the order of their labels, for a folder; by default the
            names of its class folders, sorted.
        data_dir: folder of the sets of tensorflow-datasets; by default its own.
        report: counts what is passed over in a folder, see `FolderImages`.
    Returns:
        The images with their labels.
    Raises:
        OSError: a folder does not exist or cannot be read.
        ImportError: tensorflow-datasets is needed and not installed.
        ValueError: `data` is neither a folder nor a set; class folders are empty, fewer than two,
            or others than `classes`; the set has no labelled images, no such split, or a format
            without random access.
    """
    folder = data_folder(data)
    if folder is not None:
        names = VALIDATION if split == "val" else (split,)
        there = [name for name in names if (folder / name).is_dir()]
        if not there:
            raise FileNotFoundError(
                f"folder {os.fspath(data)!r} has no {' or '.join(names)}: images are expected as "
                f"{split}/CLASS/*. To train on CLASS/* without splits, give a `val_split`."
            )
        return FolderImages(folder / there[0], classes, report)
    name = os.fspath(data)
    return TfdsImages(name, find_split(name, split, data_dir), data_dir)


def _has_folders(folder: pathlib.Path) -> bool:
    """Whether it is a split, with class folders, and no class itself, with images."""
    return folder.is_dir() and any(
        entry.is_dir() and not entry.name.startswith(".") for entry in folder.iterdir()
    )


def data_folder(data: str | os.PathLike) -> pathlib.Path | None:
    """The folder that `data` names; None where it may name a set of tensorflow-datasets.

    Raises:
        FileNotFoundError: it can only be a folder, and is not there.
    """
    folder = pathlib.Path(data)
    if folder.is_dir():
        return folder
    if folder.is_absolute() or os.fspath(data).startswith("."):
        raise FileNotFoundError(f"there is no folder {os.fspath(data)!r}.")
    return None


def fetch(data: str | os.PathLike, data_dir: str | os.PathLike | None = None) -> None:
    """Download and write a set of tensorflow-datasets, unless it is there; nothing for a folder.

    Args:
        data: a folder, or the name of a set.
        data_dir: folder of the sets of tensorflow-datasets; by default its own.
    Raises:
        OSError, ImportError, ValueError: see `open_images`.
    """
    if data_folder(data) is None:
        download(open_builder(os.fspath(data), data_dir))


def open_train_and_val(
    data: str | os.PathLike,
    train: str = "train",
    val: str = "val",
    data_dir: str | os.PathLike | None = None,
    *,
    val_split: float = 0.0,
    seed: int = 0,
    report: DataReport | None = None,
) -> tuple[Images, Images]:
    """Open the images to train on and to validate on; both have the same classes.

    Args:
        data: a folder with a folder for each split, or the name of a set of tensorflow-datasets.
            With `val_split`, a folder may have the split `train` alone, or class folders and no
            splits.
        train: split to train on.
        val: split to validate on; "val" is the first of "val", "validation" and "test" that
            exists.
        data_dir: folder of the sets of tensorflow-datasets; by default its own.
        val_split: share of each class to validate on, 0 to 1, if a folder has no validation split;
            0 for none.
        seed: decides which images these are.
        report: counts what is passed over in a folder, see `FolderImages`.
    Returns:
        The images to train on, and those to validate on.
    Raises:
        OSError: a folder does not exist or cannot be read.
        ImportError: tensorflow-datasets is needed and not installed.
        ValueError: `data` is neither a folder nor a set; the class folders of the two splits
            differ, or are empty; the set has no labelled images, or no such split.
    """
    folder = data_folder(data)
    if folder is not None and val_split:
        has_splits = _has_folders(folder / train)
        names = VALIDATION if val == "val" else (val,)
        if not has_splits or not any((folder / name).is_dir() for name in names):
            whole = FolderImages(folder / train if has_splits else folder, report=report)
            return stratified(whole, val_split, seed)
    images = open_images(data, train, data_dir=data_dir, report=report)
    return images, open_images(data, val, images.classes, data_dir, report)
