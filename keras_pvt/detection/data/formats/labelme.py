"""LabelMe: a JSON file for each image, with shapes of several kinds.

Source:
    wkentaro/labelme: `labelme/utils/shape.py` for what a shape covers, and `labelme2coco.py`, in
    which shapes of one label and group are one object.
"""

import base64
import io
import pathlib
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from keras_pvt.detection.data.formats.entries import (
    Entries,
    Size,
    Split,
    bounds,
    ellipse,
    flat,
    run_lengths_of,
    splits_of,
)
from keras_pvt.utils.listing import NO_JSON, Listing, load_json

LINES = ("line", "linestrip", "point", "points")  # which have no area


def _is_labelme(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def fits(listing: Listing) -> str | None:
    """What makes a folder one of this format, in words; None if nothing does."""
    for file in listing.sampled(".json"):
        if _is_labelme(load_json(file)):
            return f'{file.name} is JSON with "shapes"'
    return None


def read(listing: Listing) -> dict[str, Split]:
    """The splits: those of folders called train, val and test, or one, ""."""
    entries: dict[str, Entries] = {}
    described = set()
    for file in listing.ending(".json"):
        content = load_json(file)
        part = entries.setdefault(listing.split(file), Entries())
        if not _is_labelme(content):
            why = NO_JSON if content is None else 'JSON file without "shapes": passed over'
            part.report.add(why, str(file))
            continue
        said = content.get("imagePath")
        said = said if isinstance(said, str) and said else file.name
        image = listing.image_of(file, [said, file.name])
        if image is None:
            inside = " (it holds its image itself)" if content.get("imageData") else ""
            part.report.add(f"annotation file without its image{inside}: left out", str(file))
            continue
        if pathlib.PurePosixPath(said.replace("\\", "/")).stem != image.stem:
            part.report.add(
                "imagePath that is not there: the image of the file's own name is taken",
                f"{file}, which says {said}",
            )
        if image in described:
            part.report.add("second annotation file of an image: left out", str(file))
            continue
        described.add(image)
        _read_one(part, file, image, content)
    for image in listing.images:
        if image not in described:
            part = entries.setdefault(listing.split(image), Entries())
            part.report.add("image without an annotation file: left out", str(image))
    return splits_of(listing.root, entries)


def _read_one(part: Entries, file: pathlib.Path, image: pathlib.Path, content: dict) -> None:
    part.image(image, part.stated(content.get("imageHeight"), content.get("imageWidth"), str(file)))
    objects: dict[tuple, _Object] = {}
    for number, shape in enumerate(content["shapes"], 1):
        where = f"{file.name}, shape {number}"
        kind = shape.get("shape_type") or "polygon" if isinstance(shape, dict) else None
        label = shape.get("label") if isinstance(shape, dict) else None
        if not isinstance(label, str) or not label:
            part.report.add("shape without a label: left out", f"{where} of {file}")
            continue
        if kind in LINES:
            part.report.add(f"{kind}, which has no area: left out", f"{where} of {file}")
            continue
        box, outline = _shape(kind, shape, part.size(image))
        if box is None:
            why = f"shape of kind {kind} that cannot be read: left out"
            part.report.add(why, f"{where} of {file}")
            continue
        group = shape.get("group_id")
        key = (number,) if group is None else (label, str(group))
        if key in objects:
            part.report.add("shapes of one label and group: one object", f"{where} of {file}")
        same = objects.setdefault(key, _Object(label, where, [], []))
        same.boxes.append(box)
        same.outlines.append(outline)
    for one in objects.values():
        boxes = np.array(one.boxes)
        corners = [*boxes[:, :2].min(0).tolist(), *boxes[:, 2:].max(0).tolist()]
        part.add(image, one.label, corners, one.where, _together(one.outlines))


class _Object(NamedTuple):
    """The shapes of an object."""

    label: str
    where: str
    boxes: list
    outlines: list


def _shape(kind: str | None, shape: dict, size: Size | None) -> tuple[list[float] | None, Any]:
    """Bounds xyxy of a shape, and its outline if it has one."""
    points = shape.get("points")
    box = bounds(points)
    if box is None or not isinstance(points, list):
        return None, None
    if kind == "rectangle":
        return (box if len(points) >= 2 else None), None
    if kind == "polygon":
        return (box if len(points) >= 3 else None), [flat(points)]
    if kind == "rotation":  # of X-AnyLabeling
        return (box if len(points) == 4 else None), None
    if kind == "circle" and len(points) == 2:
        (x, y), rim = points
        radius = float(np.hypot(rim[0] - x, rim[1] - y))
        return [x - radius, y - radius, x + radius, y + radius], [
            flat(ellipse(x, y, radius, radius))
        ]
    if kind == "mask" and len(points) == 2:
        left, top, right, bottom = (round(value) for value in box)
        own = _mask(shape.get("mask"))
        if own is None or own.shape != (bottom - top + 1, right - left + 1):
            return None, None
        outline = None if size is None else run_lengths_of(own, left, top, size)
        return [left, top, right + 1, bottom + 1], outline
    return None, None


def _mask(text: Any) -> np.ndarray | None:
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
            return np.array(image.convert("L")) > 0
    except Exception:  # Pillow's readers raise many kinds on damaged files
        return None


def _together(outlines: list) -> Any:
    """Polygons of several shapes in one list; None where one has no outline, or run lengths."""
    if len(outlines) == 1:
        return outlines[0]
    if any(not isinstance(one, list) for one in outlines):
        return None
    return [polygon for one in outlines for polygon in one]
