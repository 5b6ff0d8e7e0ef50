"""Annotations in COCO's JSON format, checked while they are read."""

import os
import pathlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from keras_pvt.detection.data.coco_file import (
    CocoFile,
    described,
    number_in,
    read_coco,
    read_id,
    relative_path,
)
from keras_pvt.detection.data.samples import DetectionSet, Sample
from keras_pvt.detection.data.segmentations import OutlineError, Segmentation, checked
from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.images import ImageError, image_sizes

Size = tuple[int, int]  # height, width

ROUNDING = 0.1  # pixels over the edge that are not reported
MOST_AREA = 1e12  # square pixels, far above that of any image


def load_coco(
    annotations: str | os.PathLike,
    images: str | os.PathLike,
    classes: list[str] | None = None,
    masks: bool = False,
) -> DetectionSet:
    """Read a data set in COCO's format, and check every entry.

    Bad entries are left out and counted in the `report` of the result: an image that is missing,
    cannot be read, has another size than its entry says, or shares its id; a box that is not four
    finite numbers, has no area or lies outside the image; an unknown category or image. A box that
    reaches over the edge is clipped. Images without boxes stay, as background. Categories of one
    name are one class.

    Args:
        annotations: JSON file with "images", "annotations" (boxes xywh, pixels), "categories".
        images: folder that the "file_name" entries are relative to, and may not leave.
        classes: names of the classes in the order of their labels, such as those of the training
            set; by default the categories in the order of their ids.
        masks: whether to read outlines too. Objects without one are then left out.
    Returns:
        Images with their boxes, the class names, and the report.
    Raises:
        OSError: the JSON file cannot be opened.
        ValueError: it is not in COCO's format, two of its categories or annotations have one id,
            or no image is left; `classes` has a name twice.
    """
    _check_names(classes)
    return checked_set(read_coco(annotations), pathlib.Path(images), classes, masks)


def _check_names(classes: list[str] | None) -> None:
    if classes is not None and len(set(classes)) < len(classes):
        raise ValueError(f"`classes` must be different names; got {', '.join(classes)}.")


def checked_set(
    file: CocoFile, images: pathlib.Path, classes: list[str] | None = None, masks: bool = False
) -> DetectionSet:
    """The set that entries describe, whatever format they were read from; see `load_coco`.

    Args:
        file: the entries.
        images: folder that the "file_name" entries are relative to, and may not leave.
        classes: names of the classes in the order of their labels; by default the categories.
        masks: whether to read outlines too.
    Raises:
        ValueError: no image is left; `classes` has a name twice.
    """
    _check_names(classes)
    report = file.report
    ids = file.ids_by_name()
    for name, same in ids.items():
        if len(same) > 1:
            numbers = ", ".join(map(str, same))
            report.add("name of several categories: made one class", f"{name}, ids {numbers}")
    if classes is None:
        classes = list(ids)
    labels = {key: label for label, name in enumerate(classes) for key in ids.get(name, [])}
    others = {key: name for name in ids if name not in classes for key in ids[name]}
    samples = [
        _sample(image, size, file.annotations[key], labels, others, masks, report)
        for key, image, size in _usable(file.images, images, report)
    ]
    if not samples:
        said = f"{file.path} has no image to use"
        if file.images:
            said += (
                f" in {os.fspath(images)!r}, the folder that `images` names, or --images and "
                "--val-images of keras-pvt train"
            )
        raise ValueError("; ".join([said, *report.lines()]))
    return DetectionSet(classes, samples, report)


class _EntryError(ValueError):
    """An entry cannot be used; the message is a kind of the report."""


def _usable(
    entries: dict, folder: pathlib.Path, report: DataReport
) -> Iterator[tuple[Any, pathlib.Path, Size]]:
    """Id, file and (height, width) of each image that can be used."""
    files: dict[Any, pathlib.Path] = {}
    for key, entry in entries.items():
        try:
            files[key] = _file(entry, folder)
        except _EntryError as error:
            report.add(str(error), described("image", entry))
    with ThreadPoolExecutor() as pool:
        measured = list(pool.map(_sizes, files.values()))
    seen: set[pathlib.Path] = set()
    for (key, file), sizes in zip(files.items(), measured, strict=True):
        where = str(file)
        try:
            if isinstance(sizes, _EntryError):
                raise sizes
            _check_size(entries[key], *sizes, where=where, report=report)
        except _EntryError as error:
            report.add(str(error), where)
            continue
        if file in seen:
            report.add("image file of a second id: kept for each, with the boxes of each", where)
        seen.add(file)
        yield key, file, sizes[0]


def _file(entry: dict, folder: pathlib.Path) -> pathlib.Path:
    name = relative_path(entry)
    if name is None:
        raise _EntryError("image without a file_name")
    # By the words alone: what is in the folder may be links to elsewhere.
    file = folder / name
    if not pathlib.Path(os.path.abspath(file)).is_relative_to(os.path.abspath(folder)):
        raise _EntryError("image whose file_name leaves the folder of images: refused")
    return file


def _sizes(file: pathlib.Path) -> tuple[Size, Size] | _EntryError:
    """(height, width) of a file as shown and as stored, or what is wrong with it."""
    try:
        return image_sizes(file)
    except FileNotFoundError:
        return _EntryError("image file missing")
    except (OSError, ImageError):
        return _EntryError("image file that is no readable image")


def _check_size(entry: dict, size: Size, stored: Size, where: str, report: DataReport) -> None:
    """Hold the size in an entry against those of the file, (height, width) as shown and stored."""
    listed = [entry.get("height"), entry.get("width")]
    if None in listed:
        report.add("image whose entry has no size, or null: the file's is taken", where)
    listed = [own if side is None else side for side, own in zip(listed, size, strict=True)]
    numbers = [number_in(side) if isinstance(side, str) else side for side in listed]
    if not all(isinstance(side, int | float) for side in numbers):
        raise _EntryError("image whose size is no number in its entry")
    if numbers != listed:
        report.add("image whose size is text in its entry: read as numbers", where)
    if tuple(numbers) != size:
        if tuple(numbers) == stored:
            raise _EntryError("image whose entry has its size before the turn in its EXIF")
        raise _EntryError("image of another size than its entry says")


def _sample(file, size, annotations, labels, others, masks, report) -> Sample:
    height, width = size
    boxes, kept, areas, crowd = [], [], [], []
    outlines: list[Segmentation] = []
    for annotation in annotations:
        where = f"{described('annotation', annotation)} of {file}"
        try:
            label = _label(annotation, labels, others, where, report)
            ignored = _flag(annotation.get("iscrowd"))
            box = _corners(annotation.get("bbox"))
            outline = checked(annotation.get("segmentation"), size) if masks else None
            box = _clipped(box, size, where, report)
        except (_EntryError, OutlineError) as error:
            report.add(str(error), where)
            continue
        boxes.append(box)
        kept.append(label)
        areas.append(_area(annotation, box, where, report))
        crowd.append(ignored)
        if outline is not None:
            outlines.append(outline)
    if not boxes:
        why = ", as all of them were left out" if annotations else ""
        report.add(f"image without boxes{why}: background", str(file))
    return Sample(
        file,
        height,
        width,
        np.array(boxes, "float32").reshape(-1, 4),
        np.array(kept, "int32"),
        np.array(areas, "float32"),
        np.array(crowd, bool),
        tuple(outlines),
    )


def _label(annotation: dict, labels: dict, others: dict, where: str, report: DataReport) -> int:
    """The label of an object; `others` names classes that the set has, and that have no label."""
    category = read_id(annotation, "category_id", where, report)
    if category is None:
        raise _EntryError("object whose category_id is no number or text")
    if category in others:
        raise _EntryError(f"object of class {others[category]!r}, which is not asked for: left out")
    if category not in labels:
        raise _EntryError("object of an unknown class")
    return labels[category]


def _flag(value) -> bool:
    if isinstance(value, str):
        value = number_in(value)
    elif value is None:
        value = 0
    if value not in (0, 1):
        raise _EntryError("object whose iscrowd is neither 0 nor 1")
    return bool(value)


def _corners(box) -> np.ndarray:
    """COCO's xywh as xyxy."""
    try:
        array = np.array(box, "float64")
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.shape != (4,):
        raise _EntryError("box that is not four finite numbers")
    corners = np.concatenate([array[:2], array[:2] + array[2:]])
    if not np.isfinite(corners).all():
        raise _EntryError("box that is not four finite numbers")
    if (corners[2:] <= corners[:2]).any():
        raise _EntryError("box without area")
    return corners


def _clipped(box: np.ndarray, size, where: str, report: DataReport) -> np.ndarray:
    height, width = size
    clipped = np.clip(box, 0, (width, height, width, height))
    if (clipped[2:] <= clipped[:2]).any():
        raise _EntryError("box outside its image")
    if (abs(clipped - box) > ROUNDING).any():
        report.add("box over the edge of its image: clipped", where)
    return clipped


def _area(annotation: dict, box: np.ndarray, where: str, report: DataReport) -> float:
    """The area in the entry, which may be that of a mask; else that of the box."""
    area = annotation.get("area")
    if isinstance(area, int | float) and 0 < area < MOST_AREA:
        return area
    if area is not None:
        report.add("area that is no number above 0: the box's is taken", where)
    return float(np.prod(box[2:] - box[:2]))
