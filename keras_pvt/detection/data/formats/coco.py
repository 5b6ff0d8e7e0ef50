"""Folders of COCO's JSON, one file a split, as COCO itself and Roboflow lay them out."""

import dataclasses
import pathlib
import re
from typing import Any

from keras_pvt.detection.data.coco_file import CocoFile, read_coco, relative_path
from keras_pvt.detection.data.formats.entries import Split
from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.listing import NO_JSON, SPLITS, UNLISTED, Listing, load_json


def _is_coco(content: Any) -> bool:
    lists = ("images", "annotations", "categories")
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in lists)


def fits(listing: Listing) -> str | None:
    """What makes a folder one of this format, in words; None if nothing does."""
    for file in listing.sampled(".json"):
        if _is_coco(load_json(file)):
            return f"{file.name} has images, annotations and categories"
    return None


def read(listing: Listing) -> dict[str, Split]:
    """The splits, by the names of the files or of their folders.

    Raises:
        ValueError: two files of one split, images in no folder or in several, or a file that is
            not in COCO's format.
    """
    files: dict[str, pathlib.Path] = {}
    others = DataReport()
    for file in listing.ending(".json"):
        content = load_json(file)
        if not _is_coco(content):
            why = NO_JSON if content is None else "JSON file of another format: passed over"
            others.add(why, str(file))
            continue
        split = _split(listing, file)
        if split in files:
            raise ValueError(
                f"{files[split]} and {file} are of one split, {split or 'the whole'}; pass the "
                "file that is meant in place of the folder."
            )
        files[split] = file
    if not files:
        lines = "; ".join(
            [f"{listing.given or listing.root} is not in COCO's format", *others.lines()]
        )
        raise ValueError(lines)
    read = {split: read_coco(file) for split, file in files.items()}
    read = _without_groups(read)
    splits = {split: Split(one, _folder(listing, one, split)) for split, one in read.items()}
    next(iter(splits.values())).file.report.take(others)
    if listing.given is None:
        _say_unlisted(listing, splits)
    return splits


def _say_unlisted(listing: Listing, splits: dict[str, Split]) -> None:
    listed = {
        folder / name
        for file, folder in splits.values()
        for one in file.images.values()
        if (name := relative_path(one))
    }
    for image in listing.images:
        if image not in listed:
            own = (one for one in splits.values() if image.is_relative_to(one.images))
            split = next(own, next(iter(splits.values())))
            split.file.report.add(UNLISTED, str(image))


def _split(listing: Listing, file: pathlib.Path) -> str:
    """What the name of a file says, such as instances_val2017, or else its folders."""
    words = re.findall("[a-z]+", file.stem.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), listing.split(file))


def _folder(listing: Listing, file: CocoFile, split: str) -> pathlib.Path:
    """The folder of images: that which has the first of those that are listed and there."""
    names = [name for one in file.images.values() if (name := relative_path(one))]
    if not names:
        return file.path.parent
    by_name: dict[str, list[pathlib.Path]] = {}
    for image in listing.images:
        by_name.setdefault(image.name, []).append(image)
    found: list[pathlib.Path] = []
    for name in names:
        ends = name.parts
        there = (one for one in by_name.get(name.name, []) if one.parts[-len(ends) :] == ends)
        found = [one.parents[len(ends) - 1] for one in there]
        if found:
            break
    own = [folder for folder in found if folder == file.path.parent]
    of_split = [folder for folder in found if _of_split(folder, split)]
    for some in (own, found, of_split):
        if len(some) == 1:
            return some[0]
    if not found:
        raise ValueError(
            f"{file.path} lists {names[0]}, which is in no folder below {listing.root}, as is none "
            "of its images; pass this file, and the folder of its images by --images."
        )
    raise ValueError(
        f"{file.path} lists {name}, which is in {' and in '.join(map(str, found[:3]))}; pass this "
        "file, and the folder of its images by --images."
    )


def _of_split(folder: pathlib.Path, split: str) -> bool:
    words = re.findall("[a-z]+", folder.name.lower())
    return any(SPLITS.get(word) == split for word in words)


def _without_groups(files: dict[str, CocoFile]) -> dict[str, CocoFile]:
    """Without the category that only groups the others, which Roboflow writes as the first."""
    used = {
        one.get("category_id")
        for file in files.values()
        for objects in file.annotations.values()
        for one in objects
    }
    found = {}
    for split, file in files.items():
        groups = {entry.get("supercategory") for entry in file.categories.values()}
        left_out = [
            key
            for key, entry in file.categories.items()
            if key not in used
            and entry["name"] in groups
            and entry.get("supercategory") in ("none", None)
        ]
        for key in left_out:
            file.report.add(
                "category without objects that others have as their supercategory: left out",
                f"{file.categories[key]['name']} of {file.path}",
            )
        kept = {key: one for key, one in file.categories.items() if key not in left_out}
        found[split] = dataclasses.replace(file, categories=kept)
    return found
