"""COCO's JSON as it is written: its images, categories and annotations, by ids that are unique."""

import dataclasses
import json
import os
import pathlib
import posixpath
from collections.abc import Iterator
from typing import Any

from keras_pvt.utils.data_report import DataReport

MOST_DIGITS = 18  # of an id or a size that is written as text


@dataclasses.dataclass(frozen=True)
class CocoFile:
    """The entries of a file. Ids that are text, such as "7", are here the numbers that they name.

    Args:
        path: of the file.
        images: entries by their ids, in the order of the file.
        categories: entries by their ids, in the order of the ids.
        annotations: entries of each image, by its id.
        report: what was left out, or read in another way than it is written.
    """

    path: pathlib.Path
    images: dict[Any, dict]
    categories: dict[Any, dict]
    annotations: dict[Any, list[dict]]
    report: DataReport

    def ids_by_name(self) -> dict[str, list]:
        """The ids of the categories that have a name, in the order of the ids."""
        ids: dict[str, list] = {}
        for key, entry in self.categories.items():
            ids.setdefault(str(entry["name"]), []).append(key)
        return ids


def read_coco(path: str | os.PathLike, annotated: bool = True) -> CocoFile:
    """Read a file, and check that each of its ids stands for one thing.

    Images of one id are left out, with their annotations, which can be those of either. What is
    listed twice in the same words is read once.

    Args:
        path: of the JSON.
        annotated: whether it has to have the list "annotations".
    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not in COCO's format; two categories or annotations have one id.
    """
    path = pathlib.Path(path)
    report = DataReport()
    try:
        content = _content(path, annotated)
        images = _images(content["images"], report)
        categories = _categories(content["categories"], report)
        annotations = _annotations(content.get("annotations", []), images, report)
    except _FormatError as error:
        raise ValueError(f"{path} is not in COCO's format: {error}.") from error
    known = {key: entry for key, entry in images.items() if entry is not None}
    return CocoFile(path, known, categories, annotations, report)


def identity(value) -> int | float | str | None:
    """What an id is compared by: the number that a text names; None if it cannot be an id."""
    if isinstance(value, str):
        number = number_in(value)
        return value if number is None or str(number) != value else number  # "007" is a name
    return value if isinstance(value, int | float) else None


def read_id(entry: dict, field: str, where: str, report: DataReport) -> int | float | str | None:
    """The `identity` of what is in a field; text that names a number is counted.

    Args:
        entry: of the file.
        field: such as "image_id".
        where: names the entry.
        report: counts.
    """
    value = entry.get(field)
    key = identity(value)
    if isinstance(value, str) and not isinstance(key, str):
        report.add(f"{field} that is text: read as a number", f"{value!r} in {where}")
    return key


def number_in(text: str) -> int | None:
    """The whole number that a text consists of; None if it is something else."""
    short = len(text) <= MOST_DIGITS and text.isascii()
    return int(text) if short and text.isdecimal() else None


def relative_path(entry: dict) -> pathlib.PurePosixPath | None:
    """The file that an entry of an image names; None if it names none.

    Separators of Windows are read too, and "a/../b" is "b".
    """
    name = entry.get("file_name")
    if not isinstance(name, str) or not name or "\0" in name:
        return None
    return pathlib.PurePosixPath(posixpath.normpath(name.replace("\\", "/")))


class _FormatError(ValueError):
    """A file is not in COCO's format; the message says where."""


def _content(path: pathlib.Path, annotated: bool) -> dict:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:  # neither JSON nor text
        raise ValueError(f"{path} is no JSON file: {error}") from error
    keys = ("images", "annotations", "categories") if annotated else ("images", "categories")
    if not isinstance(content, dict) or any(not isinstance(content.get(k), list) for k in keys):
        raise _FormatError(f"it needs the lists {', '.join(keys)}")
    return content


def _by_id(entries: list, kind: str, report: DataReport) -> dict[Any, list[dict]]:
    """Entries of "images" or "categories" by their ids."""
    found: dict[Any, list[dict]] = {}
    for where, entry in _dictionaries(entries, kind):
        key = read_id(entry, "id", where, report)
        if key is None:
            said = f"the id {entry['id']!r:.50}, no number or text" if "id" in entry else "no id"
            raise _FormatError(f"{where} has {said}")
        found.setdefault(key, []).append(entry)
    return found


def _dictionaries(entries: list, kind: str) -> Iterator[tuple[str, dict]]:
    for number, entry in enumerate(entries):
        where = f"{kind}[{number}]"
        if not isinstance(entry, dict):
            raise _FormatError(f"{where} is {entry!r:.50}, no dictionary")
        yield where, entry


def _images(entries: list, report: DataReport) -> dict[Any, dict | None]:
    """Entries by their ids; None for an id that images share."""
    images: dict[Any, dict | None] = {}
    for key, same in _by_id(entries, "images", report).items():
        if len({relative_path(entry) for entry in same}) == 1:
            images[key] = same[0]
            for entry in same[1:]:
                report.add("image that is listed again: read once", described("image", entry))
        else:
            images[key] = None
            for entry in same:
                report.add("image of another's id: left out", described("image", entry))
    return images


def _categories(entries: list, report: DataReport) -> dict[Any, dict]:
    """Entries by their ids, numbers before text."""
    categories = {}
    for key, same in _by_id(entries, "categories", report).items():
        names = [entry.get("name") for entry in same]
        if not all(isinstance(name, str | int | float) for name in names):
            raise _FormatError(f"category {key!r} has no name")
        if len(set(names)) > 1:
            raise _FormatError(
                f"the categories {' and '.join(map(str, names))} have the same id, {key!r}; give "
                "each its own, there and in the annotations"
            )
        for _ in same[1:]:
            report.add("category that is listed again: read once", described("category", same[0]))
        categories[key] = same[0]
    return {key: categories[key] for key in sorted(categories, key=_in_order)}


def _in_order(key) -> tuple[bool, Any]:
    return isinstance(key, str), key


def _annotations(entries: list, images: dict, report: DataReport) -> dict[Any, list[dict]]:
    """Entries by the ids of their images."""
    annotations: dict[Any, list[dict]] = {key: [] for key, entry in images.items() if entry}
    first: dict[Any, tuple[str, dict]] = {}
    for where, entry in _dictionaries(entries, "annotations"):
        name = described("annotation", entry)
        key = read_id(entry, "id", where, report)
        place, same = (where, entry) if key is None else first.setdefault(key, (where, entry))
        image = read_id(entry, "image_id", where, report)
        if same is not entry and same == entry:
            report.add("annotation that is listed again: read once", name)
        elif same is not entry:
            raise _FormatError(
                f"{place} and {where} have the same id, {key!r}, of which other programs read one; "
                "give each annotation its own"
            )
        elif image is None:
            report.add("annotation whose image_id is no number or text: left out", name)
        elif image not in images:
            report.add("annotation of an image that is not listed", name)
        elif images[image] is None:
            report.add("annotation of an id that several images have: left out", name)
        else:
            annotations[image].append(entry)
    return annotations


def described(kind: str, entry: dict) -> str:
    """An entry for people: what it is of, its id, and its name if it has one."""
    name = entry.get("file_name", entry.get("name"))
    return f"{kind} {entry.get('id')!r}" + (f" ({name})" if name else "")
