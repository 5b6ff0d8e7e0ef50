"""A data set by the one name that a user gives."""

import os
import pathlib
from collections.abc import Sequence

from keras_pvt.training.data.folder import FolderImages
from keras_pvt.training.data.images import Images
from keras_pvt.training.data.split import stratified
from keras_pvt.training.data.tfds import TfdsImages, find_split
from keras_pvt.utils.image_files import SUFFIXES

VALIDATION = ("val", "validation", "test")  # folders, the first that is there


def open_images(
    data: str | os.PathLike,
    split: str,
    classes: Sequence[str] | None = None,
    data_dir: str | os.PathLike | None = None,
) -> Images:
    """One split of a data set.

    Args:
        data: a folder with a folder for each split, or the name of a set of tensorflow-datasets.
        split: such as "train". "val" is the first of "val", "validation" and "test" that is
            there.
        classes: names that decide the labels of a folder, see `FolderImages`.
        data_dir: where tensorflow-datasets keeps its sets, see `TfdsImages`.
    Raises:
        OSError: a folder that is not there or cannot be read.
        ImportError: tensorflow-datasets is needed and not installed.
        ValueError: `data` is neither, or see `FolderImages` and `TfdsImages`.
    """
    folder = data_folder(data)
    if folder is not None:
        names = VALIDATION if split == "val" else (split,)
        there = [name for name in names if (folder / name).is_dir()]
        if not there:
            raise FileNotFoundError(f"folder {os.fspath(data)!r} has no {' or '.join(names)}.")
        return FolderImages(folder / there[0], classes)
    name = os.fspath(data)
    return TfdsImages(name, find_split(name, split, data_dir), data_dir)


def _has_folders(folder: pathlib.Path) -> bool:
    """Whether it is a split, with class folders, and no class itself, with images."""
    return folder.is_dir() and not any(
        entry.suffix.lower() in SUFFIXES for entry in folder.iterdir()
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


def open_train_and_val(
    data: str | os.PathLike,
    train: str = "train",
    val: str = "val",
    data_dir: str | os.PathLike | None = None,
    *,
    val_split: float = 0.0,
    seed: int = 0,
) -> tuple[Images, Images]:
    """The images to train and to validate on, of the same classes.

    Args:
        data: see `open_images`; with `val_split` also a folder that has nothing to validate on:
            only `train`, or no splits but the class folders themselves.
        train: split to train on.
        val: split to validate on.
        data_dir: see `open_images`.
        val_split: share of each class to validate on, where a folder has nothing for it.
        seed: draws that share.
    Raises:
        ValueError: see `open_images`; also the class folders of the two differ.
    """
    folder = data_folder(data)
    if folder is not None and val_split:
        has_splits = _has_folders(folder / train)
        names = VALIDATION if val == "val" else (val,)
        if not has_splits or not any((folder / name).is_dir() for name in names):
            whole = FolderImages(folder / train if has_splits else folder)
            return stratified(whole, val_split, seed)
    images = open_images(data, train, data_dir=data_dir)
    return images, open_images(data, val, images.classes, data_dir)
