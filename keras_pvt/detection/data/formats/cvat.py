"""CVAT for images 1.1: one XML file, or one for each task, with boxes, polygons and masks.

Source:
    docs.cvat.ai, "CVAT for image": a box turns clockwise about its centre; a mask has run lengths
    of its own box, row by row, the first of zeros.
"""

import pathlib
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np

from keras_pvt.detection.data.formats.entries import (
    Entries,
    Size,
    Split,
    around,
    bounds,
    ellipse,
    flat,
    run_lengths_of,
    say_unlisted,
    splits_of,
    turned,
)
from keras_pvt.utils.listing import NO_XML, SPLITS, Listing, xml_root

NO_AREA = ("polyline", "points", "skeleton", "cuboid")
NO_OBJECT = ("tag",)  # of the whole image


def fits(listing: Listing) -> str | None:
    """What makes a folder one of this format, in words; None if nothing does."""
    for file in listing.sampled(".xml"):
        if xml_root(file) == "annotations":
            return f"{file.name} is XML of <annotations>"
    return None


def read(listing: Listing) -> dict[str, Split]:
    """The splits: what CVAT calls subsets, else those of folders called train, val and test.

    Classes are in the order of the labels of the task.

    Raises:
        ValueError: a file has tracks, as a video has.
    """
    entries: dict[str, Entries] = {}
    names: dict[str, str] = {}
    for file in listing.ending(".xml"):
        if xml_root(file) not in ("annotations", None):
            continue  # of another kind, beside them
        try:
            root = ET.parse(file).getroot()
        except (ET.ParseError, LookupError, ValueError):  # of an encoding too
            entries.setdefault(listing.split(file), Entries()).report.add(NO_XML, str(file))
            continue
        if root.find("track") is not None:
            raise ValueError(
                f"{file} has tracks, as CVAT for video writes them; export CVAT for images 1.1."
            )
        for label in root.iterfind("meta//label/name"):
            names.setdefault(label.text or "", label.text or "")
        for image in root.iterfind("image"):
            _read_image(listing, file, image, entries)
    say_unlisted(listing, entries, {image for part in entries.values() for image in part.objects})
    return splits_of(listing.given or listing.root, entries, names or None)


def _read_image(listing: Listing, file: pathlib.Path, entry: ET.Element, entries: dict) -> None:
    name = entry.get("name", "")
    subset = SPLITS.get(entry.get("subset", "").lower())
    path = _file(listing, file, name, entry.get("subset", ""))
    split = subset or listing.split(path or file)
    part = entries.setdefault(split, Entries())
    if path is None:
        part.report.add("image file missing, or of a name that several have", f"{name} of {file}")
        return
    if path in part.objects:
        part.report.add("image that is listed again: left out", f"{name} of {file}")
        return
    part.image(path, part.stated(entry.get("height"), entry.get("width"), f"{name} of {file}"))
    for number, shape in enumerate(entry, 1):
        where = f"{name}, {shape.tag} {number}"
        if shape.tag in NO_AREA:
            part.report.add(f"{shape.tag}, which has no box: left out", f"{where} of {file}")
        elif shape.tag in NO_OBJECT:
            part.report.add(f"{shape.tag} of the whole image: passed over", f"{where} of {file}")
        else:
            _add(part, path, shape, where)


def _file(listing: Listing, file: pathlib.Path, name: str, subset: str) -> pathlib.Path | None:
    """The image of a name with folders, which CVAT puts into images/ or images/SUBSET/."""
    parts = pathlib.PurePosixPath(name.replace("\\", "/")).parts
    if not parts or ".." in parts:
        return None
    for folder in (file.parent, file.parent / "images", file.parent / "images" / subset):
        if folder.joinpath(*parts).is_file():
            return folder.joinpath(*parts)
    found = [image for image in listing.images if image.parts[-len(parts) :] == parts]
    return found[0] if len(found) == 1 else None


def _add(part: Entries, path: pathlib.Path, shape: ET.Element, where: str) -> None:
    try:
        box, outline, is_turned = _shape(shape, part.size(path))
    except (TypeError, ValueError, OverflowError):
        part.report.add(f"{shape.tag} that cannot be read: left out", f"{where} of {path}")
        return
    if is_turned:
        part.report.add(
            f"{shape.tag} with a rotation: its upright bounds are the box", f"{where} of {path}"
        )
    part.add(path, shape.get("label", ""), box, where, outline)


def _shape(shape: ET.Element, size: Size | None) -> tuple[list[float] | None, Any, bool]:
    """Bounds xyxy, the outline if there is one, and whether the shape is turned.

    Raises:
        TypeError, ValueError, OverflowError: it is not as CVAT writes it.
    """

    def numbers(*names: str) -> list[float]:
        return [float(shape.get(name)) for name in names]  # type: ignore[arg-type]

    degrees = float(shape.get("rotation", "0"))
    if shape.tag == "box":
        corners = numbers("xtl", "ytl", "xbr", "ybr")
        if degrees:
            return bounds(turned(corners, degrees)), None, True
        return corners, None, False
    if shape.tag == "polygon":
        points = [
            [float(value) for value in pair.split(",")]
            for pair in shape.get("points", "").split(";")
        ]
        return bounds(points), [flat(points)], False
    if shape.tag == "ellipse":
        x, y, across, down = numbers("cx", "cy", "rx", "ry")
        angle = np.deg2rad(degrees)
        half = np.hypot([across * np.cos(angle), across * np.sin(angle)],
                        [down * np.sin(angle), down * np.cos(angle)])  # fmt: skip
        rim = np.array(ellipse(0, 0, across, down))
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        outline = flat((rim @ turn + [x, y]).tolist())
        return [x - half[0], y - half[1], x + half[0], y + half[1]], [outline], bool(degrees)
    if shape.tag == "mask":
        left, top, width, height = (
            int(value) for value in numbers("left", "top", "width", "height")
        )
        runs = [int(word) for word in shape.get("rle", "").split(",")]
        if min(runs) < 0 or sum(runs) != width * height:
            raise ValueError("run lengths that do not fill their box")
        pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
        runs_of_image = None if size is None else run_lengths_of(pixels, left, top, size)
        return around(pixels, left, top), runs_of_image, False
    raise ValueError(f"<{shape.tag}> is no shape of CVAT")
