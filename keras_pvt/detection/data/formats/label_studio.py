"""Label Studio's JSON and JSON-MIN: tasks, with coordinates in percent of the image.

Source:
    labelstud.io: "Task format" and the tags Rectangle, Polygon, Ellipse and Brush; a rectangle
    turns clockwise about its upper left corner. HumanSignal/label-studio-sdk
    `converter/brush.py` and thi-ng/umbrella `packages/rle-pack` for the run lengths of a brush.
"""

import pathlib
import urllib.parse
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
)
from keras_pvt.utils.listing import NO_JSON, Listing, load_json

KINDS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels")
ANNOTATED = ("annotations", "completions")  # "completions" before version 1.0


def _tasks(content: Any) -> list[dict]:
    """The tasks of an export, in the form of its JSON; none if it is no export."""
    if isinstance(content, dict) and any(key in content for key in ANNOTATED):
        content = [content]  # a file for each task
    tasks = content if isinstance(content, list) else []
    if not all(isinstance(one, dict) for one in tasks):
        return []
    if all(isinstance(one.get("data"), dict) for one in tasks):
        return tasks
    found = [_of_minimal(one) for one in tasks]
    return found if any(one["annotations"][0]["result"] for one in found) else []


def _of_minimal(task: dict) -> dict:
    """A task of JSON-MIN, whose regions lie beside its image, in the form of the other JSON."""
    regions = [
        {"type": kind, "value": one} | one
        for some in task.values()
        if isinstance(some, list)
        for one in some
        if isinstance(one, dict)
        for kind in KINDS
        if kind in one
    ]
    annotation = {"result": regions}
    return {"data": task, "annotations": [annotation]} | {
        key: task[key] for key in ("id",) if key in task
    }


def fits(listing: Listing) -> str | None:
    """What makes a folder one of this format, in words; None if nothing does."""
    for file in listing.sampled(".json"):
        if _tasks(load_json(file)):
            return f"{file.name} has tasks and their regions"
    return None


def read(listing: Listing) -> dict[str, Split]:
    """The splits: those of folders called train, val and test, or one, "".

    An image is the file of the name in the task, with or without the prefix that Label Studio
    gives to what is uploaded.

    Raises:
        ValueError: a task has several annotations, none of which is the ground truth.
    """
    entries: dict[str, Entries] = {}
    listed: set[pathlib.Path | None] = set()
    for file in listing.ending(".json"):
        content = load_json(file)
        tasks = _tasks(content)
        if not tasks:
            why = NO_JSON if content is None else "JSON file without tasks: passed over"
            entries.setdefault(listing.split(file), Entries()).report.add(why, str(file))
            continue
        for place, task in enumerate(tasks):
            name = f"task {task.get('id', place)} of {file.name}"
            listed.add(_read_task(listing, file, task, name, entries))
    say_unlisted(listing, entries, listed)
    return splits_of(listing.given or listing.root, entries)


def _read_task(
    listing: Listing, file: pathlib.Path, task: dict, name: str, entries: dict
) -> pathlib.Path | None:
    """Read a task; the image that it is of."""
    said = [value for value in task["data"].values() if isinstance(value, str)]
    said += [task["file_upload"]] if isinstance(task.get("file_upload"), str) else []
    image = listing.image_of(file, [name for one in said for name in _names(one)])
    part = entries.setdefault(listing.split(image or file), Entries())
    if image is None:
        part.report.add("task without its image: left out", f"{name}, which says {said[:1]}")
        return None
    if image in part.objects:
        part.report.add("second task of an image: left out", f"{name}, {image}")
        return image
    annotation = _annotation(task, name, part)
    if annotation is None:
        return image
    part.image(image, None)
    for number, region in enumerate(annotation.get("result") or [], 1):
        if isinstance(region, dict):
            _read_region(part, image, region, f"{name}, region {region.get('id', number)}")
    return image


def _names(said: str) -> list[str]:
    """Names that the image of a task may have, from a path or address."""
    parsed = urllib.parse.urlsplit(said.replace("\\", "/"))
    query = urllib.parse.parse_qs(parsed.query)  # /data/local-files/?d=folder/a.jpg
    path = query["d"][0] if "d" in query else urllib.parse.unquote(parsed.path)
    name = pathlib.PurePosixPath(path).name
    prefix, dash, rest = name.partition("-")
    uploaded = dash and len(prefix) == 8 and all(one in "0123456789abcdef" for one in prefix)
    return [name, rest] if uploaded else [name]


def _annotation(task: dict, name: str, part: Entries) -> dict | None:
    """The annotation of a task: the only one, or the one that is marked as the ground truth."""
    every: list = next((task[key] for key in ANNOTATED if isinstance(task.get(key), list)), [])
    done = [one for one in every if isinstance(one, dict) and not one.get("was_cancelled")]
    if len(done) < len(every):
        part.report.add("annotation that was skipped: left out", name)
    if not done:
        part.report.add("task without an annotation: left out", name)
        return None
    if len(done) == 1:
        return done[0]
    true = [one for one in done if one.get("ground_truth")]
    if len(true) == 1:
        part.report.add("task with several annotations: the ground truth is taken", name)
        return true[0]
    raise ValueError(
        f"{name} has {len(done)} annotations, and not one of them alone is the ground truth; "
        "mark it in Label Studio, or export one for each task."
    )


def _read_region(part: Entries, image: pathlib.Path, region: dict, where: str) -> None:
    kind = region.get("type")
    if kind not in KINDS:
        part.report.add(f"result of kind {kind}: passed over", where)
        return
    value = region.get("value")
    if not isinstance(value, dict):
        value = {}
    labels = value.get(kind)
    if not isinstance(labels, list) or not labels:
        part.report.add("region without a label: left out", where)
        return
    own = part.size(image)
    size = _size(region)
    if own is not None and size is not None and size != own:
        part.report.add("region of an image of another size: left out", where)
        return
    if region.get("image_rotation"):
        part.report.add("region of an image that was turned in Label Studio: left out", where)
        return
    if own is None:
        return  # the image is left out, and counted, as it cannot be read
    try:
        box, outline, is_turned = _shape(kind, value, own)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        part.report.add(f"{kind} that cannot be read: left out", where)
        return
    if is_turned:
        part.report.add(f"{kind} with a rotation: their upright bounds are the box", where)
    if len(labels) > 1:
        part.report.add("region of several labels: an object for each", where)
    for label in labels:
        part.add(image, str(label), box, where, outline)


def _size(region: dict) -> Size | None:
    height, width = region.get("original_height"), region.get("original_width")
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _shape(kind: str, value: dict, size: Size) -> tuple[list[float] | None, Any, bool]:
    """Bounds xyxy in pixels, the outline if there is one, and whether the shape is turned.

    Raises:
        KeyError, TypeError, ValueError, IndexError, OverflowError: it is not as Label Studio
            writes it.
    """
    scale = np.array(size[::-1]) / 100
    degrees = float(value.get("rotation") or 0)
    turn = np.array([[np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))],
                     [-np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))]])  # fmt: skip
    if kind == "rectanglelabels":
        x, y = np.array([value["x"], value["y"]], "float64") * scale
        width, height = np.array([value["width"], value["height"]], "float64") * scale
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ turn + [x, y]
        return bounds(corners), None, bool(degrees)
    if kind == "polygonlabels":
        points = np.array(value["points"], "float64") * scale
        return bounds(points), [flat(points)], False
    if kind == "ellipselabels":
        x, y = np.array([value["x"], value["y"]], "float64") * scale
        across, down = np.array([value["radiusX"], value["radiusY"]], "float64") * scale
        half = np.hypot(turn[0] * across, turn[1] * down)
        outline = np.array(ellipse(0, 0, across, down)) @ turn + [x, y]
        box = [x - half[0], y - half[1], x + half[0], y + half[1]]
        return [float(one) for one in box], [flat(outline)], bool(degrees)
    # An image of four channels, the last of which is the mask.
    pixels = unpacked(bytes(value["rle"])).reshape(*size, 4)[..., 3] > 0
    return around(pixels), run_lengths_of(pixels, 0, 0, size), False


def unpacked(packed: bytes) -> np.ndarray:
    """The numbers in run lengths of rle-pack.

    32 bits say how many numbers there are, 5 bits how wide they are less 1, and 4 x 4 bits how
    wide the four kinds of lengths are less 1. Then come runs: a bit whether all are the same, 2
    bits for the kind of the length, the length less 1, and the number, or each.

    Args:
        packed: the bytes.
    Returns:
        Integers `(N,)`.
    Raises:
        ValueError: they are cut off, or hold another count of numbers than they say.
    """
    bits = np.unpackbits(np.frombuffer(packed, "uint8"))
    place = 0

    def take(count: int) -> int:
        nonlocal place
        if place + count > bits.size:
            raise ValueError("run lengths that are cut off")
        number = int("".join(map(str, bits[place : place + count])), 2)
        place += count
        return number

    count, width = take(32), take(5) + 1
    widths = [take(4) + 1 for _ in range(4)]
    found: list[np.ndarray] = []
    total = 0
    while total < count:
        same, length = take(1), take(widths[take(2)]) + 1
        if same:
            found.append(np.full(length, take(width)))
        else:
            found.append(np.array([take(width) for _ in range(length)]))
        total += length
        if total > count:
            raise ValueError("run lengths of more numbers than they say")
    return np.concatenate(found) if found else np.empty(0, int)
