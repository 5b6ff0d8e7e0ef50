"""What all readers of boxes make: images and objects as COCO's entries, split by split."""

import os
import pathlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from keras_pvt.detection.data.coco_file import CocoFile
from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.images import ImageError, image_size
from keras_pvt.utils.listing import UNLISTED, Listing

Size = tuple[int, int]  # height, width


class Split(NamedTuple):
    """A part of a data set.

    Args:
        file: its entries.
        images: the folder that "file_name" is relative to.
    """

    file: CocoFile
    images: pathlib.Path


class Entries:
    """Collects the images and objects of a split."""

    def __init__(self) -> None:
        self.report = DataReport()
        self.objects: dict[pathlib.Path, list[dict]] = {}
        self.sizes: dict[pathlib.Path, Size | None] = {}

    def image(self, file: pathlib.Path, size: Size | None = None) -> None:
        """Add an image.

        Args:
            file: its path.
            size: (height, width) that its annotations give; None: that of the file is taken.
        """
        self.objects.setdefault(file, [])
        self.sizes[file] = size

    def stated(self, height: Any, width: Any, where: str) -> Size | None:
        """The size that annotations give; None, which is counted, where that is no size.

        Args:
            height: of the image, a number or text, as it is written.
            width: the same.
            where: names the file, or the entry.
        """
        try:
            size = int(height), int(width)
        except (TypeError, ValueError, OverflowError):
            size = (0, 0)
        if min(size) > 0:
            return size
        self.report.add("no size of the image, or 0, beside its objects: its own is taken", where)
        return None

    def size(self, file: pathlib.Path) -> Size | None:
        """(height, width) of an image that was added; None where its file cannot be read."""
        return self.sizes[file] or _size(file)

    def add(
        self,
        file: pathlib.Path,
        name: Any,
        corners: Sequence[float] | None,
        where: str,
        outline: Any = None,
        ignored: bool = False,
    ) -> None:
        """Add an object of an image that was added; the checks come later.

        Args:
            file: of the image.
            name: of the class, or its id where the classes have ids.
            corners: xyxy in pixels; None where the file has no such box.
            where: names the object, such as "a.txt, line 3".
            outline: polygons or run lengths as COCO has them; None: there is none.
            ignored: neither trained on nor counted as missed.
        """
        box = None
        if corners is not None:
            x1, y1, x2, y2 = (float(value) for value in corners)
            box = [x1, y1, x2 - x1, y2 - y1]
        self.objects[file].append(
            {"id": where, "category_id": name, "bbox": box, "iscrowd": int(ignored)}
            | ({} if outline is None else {"segmentation": outline})
        )


def say_unlisted(
    listing: Listing, entries: dict[str, Entries], listed: Collection[pathlib.Path | None]
) -> None:
    """Report the images of a folder that no file of annotations lists.

    Args:
        listing: of the data set; of one file, other images are none of it.
        entries: by split; a split whose images are all unlisted is added.
        listed: images that are.
    """
    for image in listing.images if listing.given is None else ():
        if image not in listed:
            entries.setdefault(listing.split(image), Entries()).report.add(UNLISTED, str(image))


def splits_of(
    path: pathlib.Path, entries: Mapping[str, Entries], classes: Mapping[Any, str] | None = None
) -> dict[str, Split]:
    """The entries of a data set in COCO's form; all splits have the same classes.

    Args:
        path: of the data set.
        entries: by the name of the split; one without images is left out, and its report kept.
        classes: names by their ids; by default the names that objects have, sorted.
    Raises:
        ValueError: no split has an image; says what was left out.
    """
    kept = {name: part for name, part in entries.items() if part.objects}
    left_out = [part.report for part in entries.values() if not part.objects]
    for report in left_out:
        next(iter(kept.values()), Entries()).report.take(report)
    if not kept:
        lines = [line for report in left_out for line in report.lines()]
        raise ValueError("; ".join([f"{path} has no image with its objects", *lines]))
    if classes is None:
        names = {one["category_id"] for part in kept.values() for one in _all(part)}
        classes = {name: name for name in sorted(names)}
    categories = {key: {"id": key, "name": name} for key, name in classes.items()}
    found = {}
    for name, part in kept.items():
        _measure(part)
        folder = pathlib.Path(os.path.commonpath([file.parent for file in part.objects]))
        images: dict[Any, dict] = {}
        for file in part.objects:
            shown = file.relative_to(folder).as_posix()
            height, width = part.sizes[file] or (None, None)
            images[shown] = {"id": shown, "file_name": shown, "height": height, "width": width}
        objects = dict(zip(images, part.objects.values(), strict=True))
        file = CocoFile(path, images, categories, objects, part.report)  # type: ignore[assignment]
        found[name] = Split(file, folder)  # type: ignore[arg-type]
    return found


def _all(part: Entries):
    return (one for objects in part.objects.values() for one in objects)


def measured(files: Sequence[pathlib.Path]) -> list[Size | None]:
    """(height, width) of image files as they are shown; None of those that cannot be read."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(_size, files))


def _measure(part: Entries) -> None:
    files = [file for file, size in part.sizes.items() if size is None]
    part.sizes.update(zip(files, measured(files), strict=True))


def _size(file: pathlib.Path) -> Size | None:
    try:
        return image_size(file)
    except (OSError, ImageError):
        return None  # the checks say so


def bounds(points: Any) -> list[float] | None:
    """xyxy around points `(N, 2)`; None if they are none."""
    try:
        array = np.array(points, "float64")
    except (TypeError, ValueError, OverflowError):
        return None
    if array.ndim != 2 or array.shape[1] != 2 or not len(array):
        return None
    return [*array.min(0).tolist(), *array.max(0).tolist()]


def turned(corners: Sequence[float], degrees: float) -> list[list[float]]:
    """The corners of a box xyxy that is turned clockwise, as it is shown, about its centre."""
    x1, y1, x2, y2 = corners
    centre = np.array([x1 + x2, y1 + y2]) / 2
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    offsets = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]) - centre
    return (offsets @ np.array([[cosine, sine], [-sine, cosine]]) + centre).tolist()


def ellipse(x: float, y: float, across: float, down: float, corners: int = 64) -> list[list[float]]:
    """A polygon of the area of an ellipse, from its centre and radii."""
    angles = 2 * np.pi * np.arange(corners) / corners
    grown = np.sqrt(2 * np.pi / corners / np.sin(2 * np.pi / corners))  # to have its area
    return np.stack(
        [x + grown * across * np.cos(angles), y + grown * down * np.sin(angles)], 1
    ).tolist()


def flat(points: Any) -> list[float]:
    """A polygon `(N, 2)` as COCO writes it: x and y in turn."""
    return [float(value) for point in points for value in point]


def around(mask: np.ndarray, left: int = 0, top: int = 0) -> list[float]:
    """xyxy around the pixels of a mask, to the far edges of the last ones.

    Args:
        mask: bool `(h, w)`.
        left: its column in the image.
        top: its row.
    Raises:
        ValueError: it has no pixel.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        raise ValueError("a mask without a pixel")
    x, y = left + columns[[0, -1]], top + rows[[0, -1]]
    return [float(x[0]), float(y[0]), float(x[1] + 1), float(y[1] + 1)]


def run_lengths_of(mask: np.ndarray, left: int, top: int, size: Size) -> dict:
    """A part of an image as COCO's run lengths, of the columns one after the other.

    Args:
        mask: bool `(h, w)`; what reaches out of the image is cut off.
        left: its column in the image.
        top: its row.
        size: (height, width) of the image.
    """
    whole = np.zeros(size, bool)
    height, width = size
    part = mask[max(0, -top) : max(0, height - top), max(0, -left) : max(0, width - left)]
    row, column = max(0, top), max(0, left)
    whole[row : row + part.shape[0], column : column + part.shape[1]] = part
    column_wise = whole.ravel(order="F")
    ends = np.flatnonzero(column_wise[1:] != column_wise[:-1]) + 1
    counts = np.diff([0, *ends, column_wise.size]).tolist()
    return {"size": list(size), "counts": [0, *counts] if column_wise[0] else counts}
