"""Detections in COCO's format of results."""

import itertools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from keras_pvt.detection.data.coco_file import CocoFile, identity, read_coco, relative_path
from keras_pvt.detection.data.segmentations import run_lengths
from keras_pvt.detection.results import Detections
from keras_pvt.utils.data_report import DataReport

ALIKE = 3  # names in a message


class CocoResults:
    """Makes entries of COCO's results.

    A file is the image of the annotations with which the end of its path agrees most. Without
    annotations its id is its path from the folder that all files lie in, and categories are
    counted from 1. The `report` has what is odd about the annotations.

    The entries of a frame of a video have its number and its time in seconds too; the number is
    also behind the file's id, since those of frames must differ.

    Args:
        classes: names, in the order of the labels.
        files: the images and videos that results are of.
        annotations: JSON file of the set, whose ids are used; or None.
    Raises:
        OSError: the file cannot be opened.
        ValueError: it is not in COCO's format; a class or a file is none of its categories or
            images, or may be several; two files are one of its images.
    Source:
        https://cocodataset.org/#format-results
    """

    def __init__(
        self,
        classes: Sequence[str],
        files: Sequence[pathlib.Path],
        annotations: str | os.PathLike | None = None,
    ):
        self.classes = classes
        self.report = DataReport()
        if annotations is None:
            self.categories: dict[str, Any] = {name: n for n, name in enumerate(classes, 1)}
            self.images = _relative(files)
        else:
            listed = read_coco(annotations, annotated=False)
            self.categories = _categories(classes, listed)
            self.report = listed.report
            self.images = _listed(files, listed)

    def entries(self, found: Detections) -> Iterator[dict]:
        """An entry for each detection, the best first."""
        image, frame = self.images[found.path], found.frame
        if frame is not None:
            own = {"image_id": f"{image['image_id']}#{frame.number}"}
            image = image | own | {"frame": frame.number, "time": round(frame.seconds, 3)}
        masks = () if found.masks is None else run_lengths(map(found.mask, range(len(found.boxes))))
        for n, (x1, y1, x2, y2) in enumerate(found.boxes.tolist()):
            category = self.classes[found.labels[n]]
            entry = {
                **image,
                "category_id": self.categories[category],
                "category": category,
                "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
                "score": round(float(found.scores[n]), 5),
            }
            yield entry | ({"segmentation": masks[n]} if masks else {})


def _relative(files: Sequence[pathlib.Path]) -> dict[pathlib.Path, dict]:
    """What entries say of each file, by its path from the folder that they all lie in."""
    folder = os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in files])
    names = {file: pathlib.Path(os.path.relpath(file, folder)).as_posix() for file in files}
    return {file: {"image_id": name, "file_name": name} for file, name in names.items()}


def _categories(classes: Sequence[str], listed: CocoFile) -> dict[str, Any]:
    """The id of each class in the file; of categories of one name, that of the one in use."""
    ids = listed.ids_by_name()
    missing = [name for name in classes if name not in ids]
    if missing:
        raise ValueError(f"{listed.path} has no category {', '.join(missing)}.")
    entries = (entry for own in listed.annotations.values() for entry in own)
    used = {identity(entry.get("category_id")) for entry in entries}
    categories = {}
    for name in classes:
        own = [key for key in ids[name] if key in used or len(ids[name]) == 1]
        if len(own) != 1:
            raise ValueError(
                f"{listed.path} has several categories {name!r}, of the ids "
                f"{', '.join(map(str, ids[name]))}; results can have one. Rename the others."
            )
        categories[name] = listed.categories[own[0]]["id"]
    return categories


def _listed(files: Sequence[pathlib.Path], listed: CocoFile) -> dict[pathlib.Path, dict]:
    """What entries say of each file, by the image that it is."""
    named: dict[str, list[tuple[tuple[str, ...], dict]]] = {}
    for entry in listed.images.values():
        name = relative_path(entry)
        if name is not None:
            named.setdefault(name.name, []).append((name.parts, entry))
    images: dict[pathlib.Path, dict] = {}
    owners: dict[int, str] = {}
    for file in files:
        path = os.path.abspath(file)
        parts = pathlib.Path(path).parts
        alike = [(_agreement(parts, own), entry) for own, entry in named.get(parts[-1], [])]
        best = max((agreement for agreement, _ in alike), default=(False, 0))
        entries = [entry for agreement, entry in alike if agreement == best]
        if len(entries) != 1:
            raise ValueError(_not_one(file, entries, listed))
        (entry,) = entries
        if owners.setdefault(id(entry), path) != path:
            raise ValueError(
                f"{owners[id(entry)]} and {path} would both be the image {entry['file_name']} of "
                f"{listed.path}; pass those files only that it lists."
            )
        if not best[0]:
            listed.report.add(
                "image in another folder than its file_name says",
                f"{entry['file_name']}, taken to be {path}",
            )
        images[file] = {"image_id": entry["id"], "file_name": entry["file_name"]}
    return images


def _agreement(path: tuple[str, ...], name: tuple[str, ...]) -> tuple[bool, int]:
    """Whether a path ends in all of a name, and how many parts at its end are the name's."""
    pairs = zip(reversed(path), reversed(name), strict=False)
    count = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
    return count == len(name), count


def _not_one(file: pathlib.Path, entries: list[dict], listed: CocoFile) -> str:
    if not entries:
        lines = [f"{listed.path} has no image {file}"]
    else:
        shown = [f"{entry['file_name']} (id {entry['id']})" for entry in entries[:ALIKE]]
        more = ", ..." if len(entries) > ALIKE else ""
        lines = [
            f"{listed.path} has {len(entries)} images that may be {file}: {', '.join(shown)}{more}"
        ]
    return "; ".join([*lines, *listed.report.lines()])
