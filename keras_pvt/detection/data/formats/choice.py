"""Which format a folder or file has, by what is in it."""

import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

from keras_pvt.detection.data.coco import checked_set
from keras_pvt.detection.data.formats import (
    coco,
    cvat,
    label_studio,
    labelme,
    supervisely,
    voc,
    yolo,
)
from keras_pvt.detection.data.formats.entries import Split
from keras_pvt.detection.data.samples import DetectionSet
from keras_pvt.utils.listing import Listing


class Format(NamedTuple):
    """A format of boxes.

    Args:
        title: for people.
        needs: what a folder of it has.
        fits: what makes a listing one of it, or None.
        read: the splits of such a listing.
    """

    title: str
    needs: str
    fits: Callable[[Listing], str | None]
    read: Callable[[Listing], dict[str, Split]]


FORMATS = {
    "coco": Format("COCO", "JSON with images, annotations and categories", coco.fits, coco.read),
    "voc": Format("Pascal VOC", "XML files of an <annotation>", voc.fits, voc.read),
    "yolo": Format(
        "YOLO", "data.yaml with names, or classes.txt and a .txt for an image", yolo.fits, yolo.read
    ),
    "labelme": Format("LabelMe", 'JSON files with "shapes"', labelme.fits, labelme.read),
    "cvat": Format("CVAT for images", "XML of <annotations>", cvat.fits, cvat.read),
    "label_studio": Format(
        "Label Studio",
        "JSON or JSON-MIN with tasks and their regions",
        label_studio.fits,
        label_studio.read,
    ),
    "supervisely": Format(
        "Supervisely", 'JSON files with "size" and "objects"', supervisely.fits, supervisely.read
    ),
}


def fitting(listing: Listing) -> dict[str, str]:
    """The formats that fit, by name, and for each what makes it fit."""
    return {name: why for name, one in FORMATS.items() if (why := one.fits(listing)) is not None}


def choose(listing: Listing, name: str = "") -> str:
    """The name of the format.

    Args:
        listing: of a folder or file.
        name: of the format that is asked for; empty: the only one that fits.
    Raises:
        ValueError: none fits, or several do, or there is no format of that name.
    """
    if name:
        if name not in FORMATS:
            raise ValueError(
                f"there is no format {name!r} of boxes; there are {', '.join(FORMATS)}."
            )
        return name
    found = fitting(listing)
    path = os.fspath(listing.given or listing.root)
    if not found:
        known = "; ".join(f"{one.title}: {one.needs}" for one in FORMATS.values())
        damaged = "".join(f"; {line}" for line in listing.damaged())
        raise ValueError(
            f"{path!r} has boxes in no format that is read{damaged}. These are: {known}."
        )
    if len(found) > 1:
        both = "; ".join(f"{name}, as {why}" for name, why in found.items())
        raise ValueError(f"{path!r} fits several formats: {both}. --format decides.")
    return next(iter(found))


def open_splits(path: str | os.PathLike, name: str = "") -> dict[str, Split]:
    """The splits of a data set in any format.

    Args:
        path: of its folder, or of the file that describes it.
        name: of the format; empty: it is told from what is there.
    Returns:
        By "train", "val" and "test", as far as there are such; "" is a set without splits.
    Raises:
        OSError: it is not there, or cannot be read.
        ImportError: a library that the format needs is not installed.
        ValueError: no format fits, or several do; or what is there is not in that format.
    """
    listing = Listing(path)
    return FORMATS[choose(listing, name)].read(listing)


def load_folder(
    path: str | os.PathLike,
    classes: list[str] | None = None,
    masks: bool = False,
    name: str = "",
) -> dict[str, DetectionSet]:
    """Read a data set in any format, and check every entry; see `load_coco` for the checks.

    Args:
        path: of its folder, or of the file that describes it.
        classes: names in the order of their labels; by default as the format has them.
        masks: whether to read outlines too. Objects without one are then left out.
        name: of the format; empty: it is told from what is there.
    Returns:
        A set for each split: "train", "val", "test", or "" where there are none. Boxes are in
        pixels of the image, xyxy.
    Raises:
        OSError: it is not there, or cannot be read.
        ImportError: a library that the format needs is not installed.
        ValueError: no format fits, or several do; or what is there is not in that format; no
            image is left; `classes` has a name twice.
    """
    sets = {}
    for split, (file, images) in open_splits(path, name).items():
        sets[split] = checked_set(file, images, classes, masks)
        classes = classes or sets[split].classes
    return sets


def is_coco_file(path: str | os.PathLike) -> bool:
    """Whether a path is that of a JSON file which is in COCO's format, or in none that is known.

    Args:
        path: of a file, which need not be there.
    """
    path = pathlib.Path(path)
    if path.is_dir() or path.suffix != ".json":
        return False
    return not path.is_file() or set(fitting(Listing(path))) <= {"coco"}
