"""Supervisely: meta.json, and in each data set's folder img/ and ann/ with a JSON for each image.

Source:
    docs.supervisely.com, "Supervisely JSON format": bitmaps are PNG, deflated, in base64, with
    their upper left pixel; polygons have an exterior and holes.
"""

import base64
import io
import pathlib
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from keras_pvt.detection.data.formats.entries import (
    Entries,
    Size,
    Split,
    around,
    bounds,
    flat,
    run_lengths_of,
    splits_of,
)
from keras_pvt.utils.listing import NO_JSON, Listing, load_json

META = "meta.json"
NO_AREA = ("point", "line", "polyline", "graph", "cuboid")


def _is_annotation(content: Any) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("objects"), list)
        and isinstance(content.get("size"), dict)
    )


def fits(listing: Listing) -> str | None:
    """What makes a folder one of this format, in words; None if nothing does."""
    for file in listing.sampled(".json"):
        if _is_annotation(load_json(file)):
            return f'{file.name} is JSON with "size" and "objects"'
    return None


def read(listing: Listing) -> dict[str, Split]:
    """The splits: those of folders called train, val and test, or one, "".

    Classes are in the order of meta.json; without it they are the names of the objects, sorted.
    """
    entries: dict[str, Entries] = {}
    described = set()
    names = None
    for file in listing.ending(".json"):
        content = load_json(file)
        if file.name == META and isinstance(content, dict) and "classes" in content:
            titles = [one.get("title") for one in content["classes"] if isinstance(one, dict)]
            names = {title: title for title in titles if isinstance(title, str)}
            continue
        part = entries.setdefault(listing.split(file), Entries())
        if not _is_annotation(content):
            other = 'JSON file without "size" and "objects": passed over'
            part.report.add(NO_JSON if content is None else other, str(file))
            continue
        image = _image(listing, file)
        described.add(image)
        if image is None:
            part.report.add("annotation file without its image: left out", str(file))
            continue
        size = content["size"]
        part.image(image, part.stated(size.get("height"), size.get("width"), str(file)))
        for number, one in enumerate(content["objects"], 1):
            _read_object(part, image, one, f"{file.name}, object {number}")
    for image in listing.images:
        if image not in described:
            part = entries.setdefault(listing.split(image), Entries())
            part.report.add("image without an annotation file: left out", str(image))
    return splits_of(listing.root, entries, names)


def _image(listing: Listing, file: pathlib.Path) -> pathlib.Path | None:
    """img/a.jpg for ann/a.jpg.json, or the image that the listing has for a name."""
    own = file.parent.parent / "img" / file.stem
    return own if own.is_file() else listing.image_of(file, [file.stem, file.name])


def _read_object(part: Entries, image: pathlib.Path, one: Any, where: str) -> None:
    kind = one.get("geometryType") if isinstance(one, dict) else None
    name = one.get("classTitle") if isinstance(one, dict) else None
    if not isinstance(name, str) or not name:
        part.report.add("object without a classTitle: left out", f"{where} of {image}")
        return
    if kind in NO_AREA:
        part.report.add(f"{kind}, which has no area: left out", f"{where} of {image}")
        return
    size = part.size(image)
    try:
        box, outline = _shape(kind, one, size)
    except Exception:  # zlib and Pillow raise many kinds on what is damaged
        part.report.add(f"{kind} that cannot be read: left out", f"{where} of {image}")
        return
    if kind == "rectangle" and _whole(bounds(one["points"]["exterior"])):
        part.report.add(
            "rectangle of whole pixels, the last ones within: right and bottom become 1 more, "
            "to be edges",
            f"{where} of {image}",
        )
    part.add(image, name, box, where, outline)


def _whole(box: list[float] | None) -> bool:
    return box is not None and all(value.is_integer() for value in box)


def _shape(kind: str | None, one: dict, size: Size | None) -> tuple[list[float] | None, Any]:
    """Bounds xyxy in pixels, and the outline if there is one."""
    if kind == "rectangle":
        box = bounds(one["points"]["exterior"])
        if box is not None and _whole(box):
            box = [*box[:2], box[2] + 1, box[3] + 1]
        return box, None
    if kind == "polygon":
        exterior, holes = one["points"]["exterior"], one["points"].get("interior") or []
        outline: Any = [flat(exterior)]
        if holes:
            outline = None if size is None else _with_holes(exterior, holes, size)
        return bounds(exterior), outline
    if kind == "bitmap":
        content = zlib.decompress(base64.b64decode(one["bitmap"]["data"]))
        with Image.open(io.BytesIO(content)) as picture:
            clear = "A" in picture.getbands() or "transparency" in picture.info
            mask = picture.convert("RGBA").getchannel("A") if clear else picture
            pixels = np.array(mask) > 0
        left, top = (int(value) for value in one["bitmap"]["origin"])
        outline = None if size is None else run_lengths_of(pixels, left, top, size)
        return around(pixels, left, top), outline
    raise ValueError(f"{kind} is no kind of geometry that is read")


def _with_holes(exterior: list, holes: list, size: Size) -> dict:
    """COCO's polygons have no holes: run lengths."""
    picture = Image.new("1", size[::-1])
    draw = ImageDraw.Draw(picture)
    draw.polygon([tuple(point) for point in exterior], fill=1)
    for hole in holes:
        draw.polygon([tuple(point) for point in hole], fill=0)
    return run_lengths_of(np.array(picture), 0, 0, size)
