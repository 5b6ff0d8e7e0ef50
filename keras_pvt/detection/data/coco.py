"""Annotations in COCO's JSON format, checked while they are read."""

import json
import os
import pathlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_pvt.detection.data.samples import DetectionSet, Sample
from keras_pvt.detection.data.segmentations import Segmentation, checked
from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.images import ImageError, image_size

ROUNDING = 0.1  # pixels over the edge that are not reported


def load_coco(
    annotations: str | os.PathLike,
    images: str | os.PathLike,
    classes: list[str] | None = None,
    masks: bool = False,
) -> DetectionSet:
    """Read a data set in COCO's format, and check every entry.

    Bad entries are left out and counted in the `report` of the result: an image that is missing,
    cannot be read, or has another size than its entry says; a box that is not four finite numbers,
    has no area or lies outside the image; an unknown category or image. A box that reaches over
    the edge is clipped. Images without boxes stay, as background.

    Args:
        annotations: JSON file with "images", "annotations" (boxes xywh, pixels), "categories".
        images: folder that the "file_name" entries are relative to.
        classes: names of the classes in the order of their labels, such as those of the training
            set; by default the categories in the order of their ids.
        masks: whether to read outlines too. Objects without one are then left out.
    Returns:
        Images with their boxes, the class names, and the report.
    Raises:
        OSError: the JSON file cannot be opened.
        ValueError: it is not in COCO's format, or no image is left.
    """
    path = pathlib.Path(annotations)
    content = _read(path)
    report = DataReport()
    try:
        names = {category["id"]: str(category["name"]) for category in content["categories"]}
        entries = {entry["id"]: entry for entry in content["images"]}
        objects: dict[int, list[dict]] = {key: [] for key in entries}
        for annotation in content["annotations"]:
            if annotation["image_id"] in objects:
                objects[annotation["image_id"]].append(annotation)
            else:
                report.add("annotation of an image that is not listed", _name(annotation))
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not in COCO's format: {error!r} in an entry.") from error
    if classes is None:
        classes = [names[key] for key in sorted(names)]
    labels = {key: classes.index(name) for key, name in names.items() if name in classes}
    samples = [
        _sample(file, size, objects[key], labels, masks, report)
        for key, file, size in _usable(entries, pathlib.Path(images), report)
    ]
    if not samples:
        said = f"{path} has no image to use"
        if entries:
            said += (
                f" in {os.fspath(images)!r}, the folder that `images` names, or --images and "
                "--val-images of keras-pvt train"
            )
        raise ValueError("; ".join([said, *report.lines()]))
    return DetectionSet(classes, samples, report)


def _read(path: pathlib.Path) -> dict:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:  # neither JSON nor text
        raise ValueError(f"{path} is no JSON file: {error}") from error
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or any(not isinstance(content.get(k), list) for k in keys):
        raise ValueError(f"{path} is not in COCO's format: it needs the lists {', '.join(keys)}.")
    return content


def _usable(entries: dict, folder: pathlib.Path, report: DataReport):
    """Id, file and (height, width) of each image that can be used."""

    def measure(entry):
        file = folder / str(entry.get("file_name"))
        try:
            return file, image_size(file), None
        except FileNotFoundError:
            return file, None, "image file missing"
        except (OSError, ImageError):
            return file, None, "image file that is no readable image"

    with ThreadPoolExecutor() as pool:
        measured = list(pool.map(measure, entries.values()))
    for (key, entry), (file, size, problem) in zip(entries.items(), measured, strict=True):
        listed = entry.get("height", size and size[0]), entry.get("width", size and size[1])
        if problem is None and listed != size:
            problem = "image of another size than its entry says"
        if problem is None:
            yield key, file, size
        else:
            report.add(problem, str(file))


def _sample(file, size, annotations, labels, masks, report) -> Sample:
    height, width = size
    boxes, kept, areas, crowd = [], [], [], []
    outlines: list[Segmentation] = []
    if not annotations:
        report.add("image without boxes: kept as background", str(file))
    for annotation in annotations:
        where = f"{_name(annotation)} of {file}"
        box = _corners(annotation.get("bbox"))
        outline = checked(annotation.get("segmentation"), size) if masks else None
        if annotation.get("category_id") not in labels:
            report.add("object of an unknown class", where)
        elif box is None:
            report.add("box that is not four finite numbers", where)
        elif (box[2:] <= box[:2]).any():
            report.add("box without area", where)
        elif masks and outline is None:
            report.add("object without an outline, polygons or run lengths", where)
        else:
            clipped = np.clip(box, 0, (width, height, width, height))
            if (clipped[2:] <= clipped[:2]).any():
                report.add("box outside its image", where)
                continue
            if (abs(clipped - box) > ROUNDING).any():
                report.add("box over the edge of its image: clipped", where)
            boxes.append(clipped)
            if outline is not None:
                outlines.append(outline)
            kept.append(labels[annotation["category_id"]])
            areas.append(_area(annotation, clipped))
            crowd.append(bool(annotation.get("iscrowd")))
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


def _corners(box) -> np.ndarray | None:
    """COCO's xywh as xyxy; None if it is no box."""
    try:
        x, y, width, height = np.array(box, "float64")
    except (TypeError, ValueError):
        return None
    corners = np.array([x, y, x + width, y + height])
    return corners if np.isfinite(corners).all() else None


def _area(annotation, box) -> float:
    """The area in the entry, which may be that of a mask; else that of the box."""
    area = annotation.get("area")
    if isinstance(area, int | float) and 0 < area < np.inf:
        return area
    return float(np.prod(box[2:] - box[:2]))


def _name(annotation: dict) -> str:
    return f"annotation {annotation.get('id')}"
