"""Data sets by name: a folder, or a data set of tensorflow-datasets."""

import os
import pathlib
from collections.abc import Sequence

from keras_pvt.training.data.folder import FolderImages
from keras_pvt.training.data.images import Images
from keras_pvt.training.data.split import stratified
from keras_pvt.training.data.tfds import TfdsImages, download, find_split, open_builder
from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.listing import has_folders, names_of, split_folder


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
        split: such as "train"; see `keras_pvt.utils.listing.names_of` for what its folder may be
            called.
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
        own = split_folder(folder, split)
        if own is None:
            names = " or ".join(names_of(split))
            raise FileNotFoundError(
                f"folder {os.fspath(data)!r} has no {names}: images are expected as "
                f"{split}/CLASS/*. To train on CLASS/* without splits, give a `val_split`."
            )
        return FolderImages(own, classes, report)
    name = os.fspath(data)
    return TfdsImages(name, find_split(name, split, data_dir), data_dir)


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
        val: split to validate on; "val" may also be called "valid" or "validation", or else be
            the test split.
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
        own = split_folder(folder, train)
        has_splits = own is not None and has_folders(own)
        if not has_splits or split_folder(folder, val) is None:
            whole = FolderImages(own if own and has_splits else folder, report=report)
            return stratified(whole, val_split, seed)
    images = open_images(data, train, data_dir=data_dir, report=report)
    return images, open_images(data, val, images.classes, data_dir, report)
