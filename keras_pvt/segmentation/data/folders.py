"""Folders of images and of labels, paired by the names of their files."""

import os
import pathlib
from collections.abc import Callable, Collection, Sequence

import numpy as np

from keras_pvt.segmentation.data.label_files import load_ids
from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.image_files import image_files
from keras_pvt.utils.images import load_image
from keras_pvt.utils.listing import names_of

LABELS = ("labels", "annotations", "masks")
CLASSES = "classes.txt"


class FolderPairs:
    """Images and label files of the same name but for the suffix, see `Pairs`.

    Args:
        images: folder of images; what begins with a dot and deeper folders are passed over.
        labels: folder of label files, see `load_ids`.
        report: counts files without a partner or the ending of an image, which are left out.
        image_end: with which the names of images end, beyond what label files have too.
        label_ends: the same of label files; where it is not empty alone, others are passed over.
        read: gives the ids of a label file.
        stems: names, without endings, of the images to take; None: all.
        deep: whether to look into deeper folders too.
    Raises:
        OSError: a folder that is not there or cannot be read.
        ValueError: a folder without an image.
    """

    def __init__(
        self,
        images: str | os.PathLike,
        labels: str | os.PathLike,
        report: DataReport,
        *,
        image_end: str = "",
        label_ends: Sequence[str] = ("",),
        read: Callable[[pathlib.Path], np.ndarray] = load_ids,
        stems: Collection[str] | None = None,
        deep: bool = False,
    ) -> None:
        self._read = read
        own = _by_stem(images, report, (image_end,), stems, deep)
        others = _by_stem(labels, report, label_ends, stems, deep)
        for stem in sorted(own.keys() - others.keys()):
            report.add("image without a label: left out", str(own[stem]))
        for stem in sorted(others.keys() - own.keys()):
            report.add("label without an image: left out", str(others[stem]))
        self.files = [(own[stem], others[stem]) for stem in sorted(own.keys() & others.keys())]

    def __len__(self) -> int:
        return len(self.files)

    def name(self, number: int) -> str:
        return str(self.files[number][0])

    def image(self, number: int) -> np.ndarray:
        return load_image(self.files[number][0])

    def ids(self, number: int) -> np.ndarray:
        return self._read(self.files[number][1])


def _by_stem(
    folder: str | os.PathLike,
    report: DataReport,
    ends: Sequence[str],
    stems: Collection[str] | None,
    deep: bool,
) -> dict[str, pathlib.Path]:
    files: dict[str, pathlib.Path] = {}
    found = image_files([folder], report, deep)
    for inner in [] if deep else sorted(pathlib.Path(folder).iterdir()):
        if inner.is_dir() and not inner.name.startswith("."):
            why = "folder in that of images or labels: passed over, with all in it"
            report.add(why, str(inner))
    for path in found:
        end = next((end for end in ends if end and path.stem.endswith(end)), "")
        stem = path.stem.removesuffix(end)
        if end not in ends or (stems is not None and stem not in stems):
            continue
        if files.setdefault(stem, path) != path:
            report.add("second file of a name: left out", str(path))
    return files


def find_folders(folder: pathlib.Path, split: str) -> tuple[pathlib.Path, pathlib.Path]:
    """The folders of the images and of the labels of a split.

    SPLIT and SPLIT_labels, as of CamVid, or images/SPLIT and labels/SPLIT, as of ADE20K, or
    SPLIT/images and SPLIT/labels; "annotations" and "masks" will do for "labels".

    Args:
        folder: of the data set.
        split: such as "val", see `names_of`; empty: all of a set that has no splits, in images and
            labels.
    Raises:
        FileNotFoundError: there are no such two folders; says which there may be.
    """
    tried = []
    for name in names_of(split):
        for labels in LABELS:
            pairs = (
                (name, f"{name}_{labels}"),
                (f"images/{name}", f"{labels}/{name}"),
                (f"{name}/images", f"{name}/{labels}"),
            )
            for pair in pairs if split else (("images", labels),):
                found = folder / pair[0], folder / pair[1]
                if all(path.is_dir() for path in found):
                    return found
                tried.append(" with ".join(pair))
    if not split:
        raise FileNotFoundError(
            f"folder {os.fspath(folder)!r} has no images with labels. It may have images/ and "
            "masks/; or train/ and train_labels/; or images/train/ and masks/train/; or "
            "train/images/ and train/masks/; and the same for val, if there is one. masks/ may "
            "also be called labels/ or annotations/. An image and its label have the same name, "
            "such as a.jpg and a.png."
        )
    raise FileNotFoundError(
        f"folder {os.fspath(folder)!r} has no images and labels of {split!r}; they may be in "
        f"{', or '.join(tried)}."
    )


def read_classes(folder: pathlib.Path) -> list[str] | None:
    """The names in classes.txt, one a line; None where there is no such file.

    Raises:
        ValueError: it has no names, or is no text.
    """
    path = folder / CLASSES
    if not path.is_file():
        return None
    names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    names = [name for name in names if name]
    if not names:
        raise ValueError(f"{path} must have the name of a class in each line; it has none.")
    return names
