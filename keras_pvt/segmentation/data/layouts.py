"""How folders of images and labels are laid out, and what the ids or colours in labels stand for.

Source:
    mcordts/cityscapesScripts `helpers/labels.py` for the ids of Cityscapes; CSAILVision
    "ADEChallengeData2016" for objectInfo150.txt; docs.cvat.ai, "Segmentation mask", for
    labelmap.txt.
"""

import csv
import functools
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image

from keras_pvt.segmentation.data.folders import FolderPairs, find_folders, read_classes
from keras_pvt.segmentation.data.label_files import NoIdsError, load_ids
from keras_pvt.segmentation.data.samples import LabelRule
from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.images import ImageError
from keras_pvt.utils.listing import listed_names, names_of

# What Cityscapes trains on, in the order of its trainIds, and the ids in *_labelIds.png.
CITYSCAPES = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17,
    "traffic light": 19, "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23,
    "person": 24, "rider": 25, "car": 26, "truck": 27, "bus": 28, "train": 31,
    "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
ADE20K = "objectInfo150.txt"
TABLES = ("class_dict.csv", "labelmap.txt")
VOC = ("JPEGImages", "SegmentationClass")


class Layout(NamedTuple):
    """A split of a folder.

    Args:
        title: what it is called.
        pairs: its images and labels.
        classes: their names, where files of the folder have them.
    """

    title: str
    pairs: FolderPairs
    classes: list[str] | None


def find_layout(folder: pathlib.Path, split: str, rule: LabelRule, report: DataReport) -> Layout:
    """What a folder is.

    With leftImg8bit and gtFine it is Cityscapes, with SegmentationClass it is as Pascal VOC; else
    it has the folders of `find_folders`. A class_dict.csv or labelmap.txt says what the colours in
    labels stand for; where there is none, labels have ids.

    Args:
        folder: of the data set.
        split: such as "train"; empty: all of a set that has no splits.
        rule: how ids become labels, which has to fit what the folder says of them.
        report: counts what is left out.
    Raises:
        OSError: there are no such folders, or they cannot be read.
        ValueError: a folder without an image, a table that cannot be read, or a rule that does
            not fit.
    """
    read, classes = _by_table(folder)
    if (folder / "leftImg8bit").is_dir() and (folder / "gtFine").is_dir():
        return _cityscapes(folder, split, report)
    if (folder / VOC[1]).is_dir():
        return _voc(folder, split, report, read, classes)
    images, labels = find_folders(folder, split)
    title = "folders of images and of labels"
    if classes is not None:
        title += " with a table of colours"
    if (folder / ADE20K).is_file():
        title, classes = "ADE20K", _ade20k(folder / ADE20K)
        if not rule.reduce_zero:
            raise ValueError(
                f"{folder / ADE20K} says that ids count from 1, and that 0 is no class; pass "
                "--reduce-zero."
            )
    # CamVid's own labels are called a_L.png.
    ends = ("", "_L") if classes is not None else ("",)
    pairs = FolderPairs(images, labels, report, label_ends=ends, read=read)
    return Layout(title, pairs, classes or read_classes(folder))


def _cityscapes(folder: pathlib.Path, split: str, report: DataReport) -> Layout:
    for name in names_of(split):
        images, labels = folder / "leftImg8bit" / name, folder / "gtFine" / name
        if split and images.is_dir() and labels.is_dir():
            pairs = FolderPairs(
                images,
                labels,
                report,
                image_end="_leftImg8bit",
                label_ends=("_gtFine_labelIds",),
                read=_train_ids,
                deep=True,
            )
            return Layout("Cityscapes", pairs, list(CITYSCAPES))
    raise FileNotFoundError(
        f"folder {os.fspath(folder)!r} has no leftImg8bit/ and gtFine/ of {split!r}."
    )


def _train_ids(path: pathlib.Path) -> np.ndarray:
    table = np.full(256, 255, "uint8")
    table[list(CITYSCAPES.values())] = np.arange(len(CITYSCAPES))
    return table[load_ids(path)]


def _voc(
    folder: pathlib.Path,
    split: str,
    report: DataReport,
    read: Callable[[pathlib.Path], np.ndarray],
    classes: list[str] | None,
) -> Layout:
    """As the lists in ImageSets/Segmentation say; without lists it is all, which has no splits."""
    lists = folder / "ImageSets" / "Segmentation"
    named = {name: lists / f"{name}.txt" for name in names_of(split) if name}
    own = next((file for file in named.values() if file.is_file()), None)
    if (own is None) == bool(split):
        raise FileNotFoundError(
            f"folder {os.fspath(lists)!r} has no {' or '.join(f'{name}.txt' for name in named)}."
        )
    images, labels = folder / VOC[0], folder / VOC[1]
    if not images.is_dir():
        images = folder / "images"
    stems = None
    if own is not None:
        known = {file.stem for one in (images, labels) if one.is_dir() for file in one.iterdir()}
        stems, unknown = listed_names(own, known)
        for line in unknown:
            report.add("name in a list without an image and a label", f"{line} of {own}")
    pairs = FolderPairs(
        images,
        labels,
        report,
        read=read,
        stems=stems,
    )
    return Layout("Pascal VOC's masks", pairs, classes or read_classes(folder))


def _ade20k(path: pathlib.Path) -> list[str]:
    """The first name of each class, in the order of the ids."""
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    names = [line.split("\t")[-1].split(",")[0].strip() for line in lines if line.strip()]
    # Two classes are "screen", and others share their first name too.
    whole = [line.split("\t")[-1].strip() for line in lines if line.strip()]
    return [own if names.count(own) == 1 else both for own, both in zip(names, whole, strict=True)]


def _by_table(
    folder: pathlib.Path,
) -> tuple[Callable[[pathlib.Path], np.ndarray], list[str] | None]:
    """What reads labels, and the names of the classes where a table has them."""
    found = [folder / name for name in TABLES if (folder / name).is_file()]
    if not found:
        return load_ids, None
    if len(found) > 1:
        raise ValueError(f"{found[0]} and {found[1]} both say what colours are; leave one of them.")
    rows = _csv(found[0]) if found[0].suffix == ".csv" else _labelmap(found[0])
    names = [name for name, _ in rows]
    colours = [colour for _, colour in rows]
    if not rows or len(set(names)) < len(names):
        raise ValueError(f"{found[0]} must have a name for each class, and each once.")
    if not any(colours):
        return load_ids, names  # ids, in the order of the lines
    table = {colour: number for number, colour in enumerate(colours) if colour is not None}
    if len(table) < len(rows):
        raise ValueError(f"{found[0]} must have a colour for each class, and each once.")
    return functools.partial(load_colours, table=table), names


def _csv(path: pathlib.Path) -> list[tuple[str, tuple[int, ...] | None]]:
    """Lines name,r,g,b in the order that the first one says."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [
            {str(key).strip().lower(): str(value).strip() for key, value in row.items()}
            for row in csv.DictReader(file)
        ]
    try:
        return [(row["name"], tuple(int(row[key]) for key in "rgb")) for row in rows]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{path} must have the columns name, r, g and b, in numbers.") from error


def _labelmap(path: pathlib.Path) -> list[tuple[str, tuple[int, ...] | None]]:
    """Lines label:r,g,b:parts:actions."""
    rows: list[tuple[str, tuple[int, ...] | None]] = []
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        colour = rest.split(":")[0]
        try:
            rows.append((name.strip(), tuple(map(int, colour.split(","))) if colour else None))
        except ValueError as error:
            raise ValueError(
                f"{path} must have lines such as cat:128,0,0::; got {line!r}."
            ) from error
    return rows


def load_colours(path: pathlib.Path, table: dict[tuple[int, ...], int]) -> np.ndarray:
    """Read the class ids that an image file of colours has for pixels.

    Args:
        path: of a file in any lossless format that Pillow reads.
        table: the id of each colour, RGB 0..255.
    Returns:
        Integers `(H, W)`; where a colour is of no class -1 less its code, so that it can be told.
    Raises:
        OSError: the file cannot be opened.
        NoIdsError: it is a JPEG, whose colours are not exact.
        ImageError: it is not an image, or is damaged.
    """
    with path.open("rb") as file:
        try:
            with Image.open(file) as image:
                kind, pixels = image.format, np.array(image.convert("RGB"), "int32")
        except Exception as error:  # Pillow's readers raise many kinds on damaged files
            raise ImageError(f"{path} cannot be read as labels: {error}") from error
    if kind == "JPEG":
        raise NoIdsError(f"{path} is a JPEG, which changes colours; labels are PNG.")
    codes = pixels @ np.array([65536, 256, 1])
    known = np.array([(r * 256 + g) * 256 + b for r, g, b in table])
    order = known.argsort()
    places = np.searchsorted(known[order], codes).clip(max=len(known) - 1)
    ids = np.array(list(table.values()))[order][places]
    return np.where(known[order][places] == codes, ids, -1 - codes).astype("int32")
