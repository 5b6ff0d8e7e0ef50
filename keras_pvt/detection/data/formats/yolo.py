"""YOLO as Ultralytics and darknet have it: a text file for each image, a line for each object.

Source:
    docs.ultralytics.com/datasets/detect, /segment, /obb and /pose; `img2label_paths` and
    `verify_image_label` of ultralytics/data/utils.py for where label files are, and what a line is.
"""

import collections
import math
import os
import pathlib
import re
from collections.abc import Iterable
from typing import Any

from keras_pvt.detection.data.formats.entries import (
    Entries,
    Size,
    Split,
    bounds,
    flat,
    measured,
    splits_of,
)
from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.image_files import by_ending
from keras_pvt.utils.listing import SPLITS, Listing

TABLES = ("classes.txt", "obj.names")  # names of classes, one a line, where there is no data.yaml


def fits(listing: Listing) -> str | None:
    """What makes a folder one of this format, in words; None if nothing does."""
    described = _described(listing)
    if described is not None:
        return f"{described.name} has names of classes and paths of images"
    table = _table(listing)
    if table is None:
        return None
    for file in listing.ending(".txt"):  # not the first alone, which may be background
        if file != table and _is_label_file(file):
            return f"{table.name} has names of classes, and {file.name} boxes"
    return None


def read(listing: Listing) -> dict[str, Split]:
    """The splits of data.yaml; without it those of folders called train, val and test, or "".

    An image without a label file, or whose file is empty, is background.
    """
    described = _described(listing)
    entries: dict[str, Entries] = {}
    if described is None:
        table = _table(listing)
        assert table is not None  # as `fits` said
        lines = table.read_text(encoding="utf-8-sig").splitlines()
        names = {key: name.strip() for key, name in enumerate(lines) if name.strip()}
        images: dict[str, list[pathlib.Path]] = {}
        for image in listing.images:
            images.setdefault(listing.split(image), []).append(image)
        values = 0
        entries = {split: Entries() for split in images}
    else:
        content = _yaml(described)
        names = _names(content, described)
        values = _keypoints(content, described)
        images = {}
        taken: set[pathlib.Path] = set()
        for word, split in SPLITS.items():
            said = content.get(word)
            if said:
                part = entries.setdefault(split, Entries())
                root = content.get("path")
                images[split] = _images(said, root, described, split, part, taken)
    if not any(images.values()):
        raise ValueError(f"{listing.given or listing.root} has no image of a split to use.")
    labels = _labels(images)
    for split, files in images.items():
        _read_split(entries[split], {image: labels[image] for image in files}, values)
    _say_alone(entries, labels)
    return splits_of(described or listing.root, entries, names)


def _labels(images: dict[str, list[pathlib.Path]]) -> dict[pathlib.Path, pathlib.Path]:
    """The label file of each image, which need not be there; its ending may be .TXT too."""
    named = {image: _label_file(image) for files in images.values() for image in files}
    there = {file.with_suffix(".txt"): file for file in _texts(set(named.values()))}
    return {image: there.get(label, label) for image, label in named.items()}


def _texts(labels: set[pathlib.Path]) -> Iterable[pathlib.Path]:
    """The text files in the folders of label files."""
    for folder in sorted({label.parent for label in labels}):
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            if file.suffix.lower() == ".txt":
                yield file


def _say_alone(entries: dict[str, Entries], labels: dict[pathlib.Path, pathlib.Path]) -> None:
    used = set(labels.values())
    for file in _texts(used):
        if file not in used and file.name not in TABLES and _is_label_file(file):
            first = next(iter(entries.values()))
            first.report.add("label file without an image: passed over", str(file))


def _read_split(part: Entries, labels: dict[pathlib.Path, pathlib.Path], values: int) -> None:
    owners = collections.Counter(labels.values())
    for (image, label), size in zip(labels.items(), measured(list(labels)), strict=True):
        part.image(image, size)
        if label.is_file() and size is not None:
            if owners[label] > 1:
                part.report.add("label file of several images: read for each", f"{label}, {image}")
            _read_one(part, label, image, size, values)


def _read_one(part: Entries, file: pathlib.Path, image: pathlib.Path, size: Size, values: int):
    seen = set()
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{file.name}, line {number}"
        words = line.split()
        if not words:
            continue
        if tuple(words) in seen:
            part.report.add("line that is there twice: read once", f"{where} of {file}")
            continue
        seen.add(tuple(words))
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) < 5 or not all(map(math.isfinite, numbers)) or not numbers[0].is_integer():
            why = "line that is no class and four numbers or more: left out"
            part.report.add(why, f"{where} of {file}: {line!r:.60}")
            continue
        _add(part, image, numbers, where, size, values)


def _add(part: Entries, image, numbers: list[float], where: str, size: Size, values: int) -> None:
    height, width = size
    label, rest = int(numbers[0]), numbers[1:]
    if values and len(rest) == 4 + values:
        part.report.add("keypoints beside a box: passed over", f"{where} of {image}")
        rest = rest[:4]
    elif len(rest) == 5:
        part.report.add("a number after a box, such as a score: passed over", f"{where} of {image}")
        rest = rest[:4]
    elif len(rest) > 5 and len(rest) % 2:
        part.report.add("polygon of half a corner: left out", f"{where} of {image}")
        return
    if len(rest) == 4:
        x, y, across, down = rest
        corners = [x - across / 2, y - down / 2, x + across / 2, y + down / 2]
        scaled = [corner * side for corner, side in zip(corners, 2 * [width, height], strict=True)]
        part.add(image, label, scaled, where)
        return
    points = [[x * width, y * height] for x, y in zip(rest[::2], rest[1::2], strict=True)]
    if len(points) == 4:
        # Corners of a turned box, or a polygon: no sign in the file says which.
        part.report.add("four corners: their upright bounds are the box", f"{where} of {image}")
    part.add(image, label, bounds(points), where, [flat(points)])


def _described(listing: Listing) -> pathlib.Path | None:
    """The YAML file that lists names and images: the outermost, if there are several."""
    found = []
    for file in listing.ending(".yaml", ".yml"):
        text = file.read_text(encoding="utf-8-sig", errors="replace")
        if re.search(r"^names\s*:", text, re.M) and re.search(r"^(train|val)\s*:", text, re.M):
            found.append(file)
    found.sort(key=lambda file: (len(file.parts), file))
    if len(found) > 1 and len(found[0].parts) == len(found[1].parts):
        raise ValueError(
            f"{found[0]} and {found[1]} both describe a data set; pass the one that is meant."
        )
    return found[0] if found else None


def _table(listing: Listing) -> pathlib.Path | None:
    found = [file for file in listing.files if file.name in TABLES]
    return min(found, key=lambda file: len(file.parts), default=None)


def _is_label_file(file: pathlib.Path) -> bool:
    with file.open(encoding="utf-8-sig", errors="replace") as lines:
        words = next((line.split() for line in lines if line.strip()), [])
    try:
        return len(words) >= 5 and all(math.isfinite(float(word)) for word in words)
    except ValueError:
        return False


def _yaml(file: pathlib.Path) -> dict:
    with needed_for("reading data.yaml", "data"):
        import yaml
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file} is no YAML: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file} must have keys such as names and train; it has none.")
    return content


def _names(content: dict, file: pathlib.Path) -> dict[int, str]:
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not all(str(key).isdecimal() for key in names):
        raise ValueError(f"{file}: names must be a list, or have a number for each name.")
    found = {int(key): str(name) for key, name in names.items()}
    number = content.get("nc")
    if isinstance(number, int) and number != len(found):
        raise ValueError(f"{file}: nc is {number}, and there are {len(found)} names.")
    return dict(sorted(found.items()))


def _keypoints(content: dict, file: pathlib.Path) -> int:
    """Numbers that follow a box, of a set with poses."""
    shape = content.get("kpt_shape")
    if shape is None:
        return 0
    if not isinstance(shape, list) or not all(isinstance(one, int) for one in shape):
        raise ValueError(f"{file}: kpt_shape must be two numbers; got {shape!r}.")
    return math.prod(shape)


def _images(
    said: Any,
    root: Any,
    file: pathlib.Path,
    split: str,
    part: Entries,
    taken: set[pathlib.Path],
) -> list[pathlib.Path]:
    """The images of a split: of folders, or lists of files, as data.yaml names them.

    What is not where it says is not looked for in `taken`, which other splits have.
    """
    found: dict[pathlib.Path, None] = {}
    for one in said if isinstance(said, list) else [said]:
        place, stated = _place(str(one), None if root is None else str(root), file)
        if place is None or (place != stated and place in taken):
            part.report.add(f"{split} of {file.name} that is not there: left out", str(stated))
            continue
        taken.add(place)
        if place != stated:
            part.report.add(
                f"{split} of {file.name} that is not where it says: found elsewhere",
                f"{stated}; {place} is taken",
            )
        if place.is_dir():
            found |= dict.fromkeys(_images_below(place))
        else:
            lines = place.read_text(encoding="utf-8-sig").splitlines()
            for line in lines:
                if line.strip():
                    # Ultralytics takes these from the list's folder where they begin with "./".
                    name = pathlib.Path(line.strip().replace("\\", "/"))
                    base = place.parent if line.startswith("./") else _root(root, file)
                    image = name if name.exists() else base / name
                    found[pathlib.Path(os.path.normpath(image))] = None
    return list(found)


def _root(root: Any, file: pathlib.Path) -> pathlib.Path:
    return file.parent if root is None else file.parent / str(root).replace("\\", "/")


def _place(
    said: str, root: str | None, file: pathlib.Path
) -> tuple[pathlib.Path | None, pathlib.Path]:
    """What a line of data.yaml names, and where it would be by the letter.

    `path` may be relative to a folder of another machine, and Roboflow writes ../train/images for
    train/images: then the same is looked for beside data.yaml.
    """
    said = said.replace("\\", "/")
    folder = file.parent
    stated = _root(root, file) / said
    words = pathlib.PurePosixPath(said).parts
    below = [word for word in words if word not in ("..", ".", "/")]
    tried = [stated, folder / said, *(folder.joinpath(*below[n:]) for n in range(len(below)))]
    there = (pathlib.Path(os.path.normpath(one)) for one in tried if one.exists())
    return next(there, None), pathlib.Path(os.path.normpath(stated))


def _images_below(folder: pathlib.Path) -> Iterable[pathlib.Path]:
    for where, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in by_ending(names)[0]:
            yield pathlib.Path(where, name)


def _label_file(image: pathlib.Path) -> pathlib.Path:
    """Where an image's labels are: labels in place of the last folder called images."""
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return pathlib.Path(*parts).with_suffix(".txt")
