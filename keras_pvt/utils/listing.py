"""What is in the folder of a data set, by one look at it."""

import collections
import functools
import json
import os
import pathlib
import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection, Iterable
from typing import Any

from keras_pvt.utils.image_files import by_ending

# What folders and files of a split are called, and the name that the split has here.
SPLITS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


SAMPLED = 5  # files of a folder by which its format is told
# What reports say of files that cannot be read.
NO_JSON = "annotation file that is no JSON: left out"
NO_XML = "annotation file that is no XML: left out"
UNLISTED = "image that no annotation file lists: left out"


def names_of(split: str) -> tuple[str, ...]:
    """What a split may be called, the usual name first; "val" may also be that of a test.

    Args:
        split: "train", "val" or "test", or any other, which has that name alone.
    """
    own = tuple(name for name, meant in SPLITS.items() if meant == split) or (split,)
    return own + names_of("test") if split == "val" else own


def split_folder(folder: pathlib.Path, split: str) -> pathlib.Path | None:
    """The folder of a split, whose name may have capitals; None where there is none.

    Args:
        folder: of the data set.
        split: such as "val", see `names_of`.
    Raises:
        OSError: the folder cannot be read.
    """
    # Of two that differ in their case, that in small letters, which comes last.
    there = {one.name.lower(): one for one in sorted(folder.iterdir()) if one.is_dir()}
    return next((there[name] for name in names_of(split) if name in there), None)


def has_folders(folder: pathlib.Path) -> bool:
    """Whether it is a split, with class folders, and no class itself, with images."""
    return any(one.is_dir() and not one.name.startswith(".") for one in folder.iterdir())


class Listing:
    """The files of a data set; what begins with a dot is passed over.

    Args:
        path: of a folder; or of the file that describes the data, whose folder is then looked at.
    Attributes:
        root: the folder.
        given: the file, where one was named.
        files: all below `root`, sorted.
        images: those of them with the ending of an image that Pillow reads.
    Raises:
        OSError: there is no such file or folder, or it cannot be read.
    """

    def __init__(self, path: str | os.PathLike):
        path = pathlib.Path(path)
        if not path.exists():
            raise FileNotFoundError(f"there is no file or folder {os.fspath(path)!r}.")
        self.given = None if path.is_dir() else path
        self.root = path if self.given is None else path.parent
        self.files = sorted(_below(self.root))
        images, _ = by_ending({file.name for file in self.files})
        names = set(images)
        self.images = [file for file in self.files if file.name in names]

    def ending(self, *endings: str) -> list[pathlib.Path]:
        """The files with an ending, such as ".xml"; where a file was named, that one at most."""
        files = self.files if self.given is None else [self.given]
        return [file for file in files if file.suffix.lower() in endings]

    def sampled(self, *endings: str) -> list[pathlib.Path]:
        """Of each folder the first files of an ending, five at most, by which a format is told.

        Several, as the first one may be damaged, or of another kind than those after it.
        """
        found: list[pathlib.Path] = []
        taken: collections.Counter[pathlib.Path] = collections.Counter()
        for file in self.ending(*endings):
            taken[file.parent] += 1
            if taken[file.parent] <= SAMPLED:
                found.append(file)
        return found

    def damaged(self) -> list[str]:
        """What is wrong with files by which a format might be told, each in words."""
        json_files, xml_files = self.sampled(".json"), self.sampled(".xml")
        return [
            *(f"{file} is no JSON" for file in json_files if load_json(file) is None),
            *(f"{file} is no XML" for file in xml_files if xml_root(file) is None),
        ]

    def split(self, file: pathlib.Path) -> str:
        """The split that the folders of a file name, from the outermost; "" if none does."""
        parts = file.relative_to(self.root).parts[:-1]
        return next((SPLITS[part.lower()] for part in parts if part.lower() in SPLITS), "")

    @functools.cached_property
    def images_by_stem(self) -> dict[str, list[pathlib.Path]]:
        """The images of each name without its ending."""
        found: dict[str, list[pathlib.Path]] = {}
        for file in self.images:
            found.setdefault(file.stem, []).append(file)
        return found

    def image_of(self, file: pathlib.Path, names: Iterable[str]) -> pathlib.Path | None:
        """The image that a file of annotations is of.

        It has one of the names, but for the ending, or else that of the file; the first for which
        there is one. Of several the one in the file's own folder is taken, or in its split, or the
        one that has the ending too.

        Args:
            file: of annotations.
            names: that it says of its image, with folders or without; separators of Windows too.
        Returns:
            None where there is none, or more than one.
        """
        for name in names:
            said = pathlib.PurePosixPath(name.replace("\\", "/"))
            found = self.images_by_stem.get(said.stem, [])
            exact = [image for image in found if image.name == said.name]
            rules: list[Callable[[pathlib.Path], bool]] = [
                lambda image: True,
                lambda image: image.parent == file.parent,
                lambda image: self.split(image) == self.split(file),
            ]
            for some in (found, exact):
                for rule in rules:
                    fit = [image for image in some if rule(image)]
                    if len(fit) == 1:
                        return fit[0]
        return None


def _below(root: pathlib.Path) -> Iterable[pathlib.Path]:
    """Files of a folder and its sub-folders; links are followed, each folder once."""
    seen: set[str] = set()
    if not os.access(root, os.R_OK | os.X_OK):
        raise PermissionError(f"folder {os.fspath(root)!r} cannot be read.")
    for where, folders, names in os.walk(root, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = (name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in names:
            if not name.startswith("."):
                yield pathlib.Path(where, name)


def listed_names(path: pathlib.Path, known: Collection[str]) -> tuple[set[str], list[str]]:
    """Which names a list of a data set has, one a line, as those of Pascal VOC's ImageSets.

    A line may have a folder and an ending too, and a number after the name, as lists of a class.

    Args:
        path: of the list.
        known: names without endings, which may have spaces and dots.
    Returns:
        Those of them that are listed; and the lines that name none of them.
    Raises:
        OSError: it cannot be opened.
    """
    found, unknown = set(), []
    for line in path.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        line = line.strip()
        if not line:
            continue
        parts = (line, line.rsplit(maxsplit=1)[0], line.split()[0])
        paths = [pathlib.PurePosixPath(part.replace("\\", "/")) for part in parts]
        spelt = (name for one in paths for name in (one.name, one.stem))
        own = next((name for name in spelt if name in known), None)
        if own is None:
            unknown.append(line)
        else:
            found.add(own)
    return found, unknown


@functools.lru_cache(maxsize=4)
def _json(path: pathlib.Path, stamp: tuple) -> Any:
    return json.loads(path.read_bytes())


def load_json(path: pathlib.Path) -> Any:
    """The content of a JSON file, not to be changed; None if it is none.

    The last ones are kept, as a format is told by what is read then.

    Raises:
        OSError: it cannot be opened.
    """
    status = path.stat()
    try:
        return _json(path, (status.st_mtime_ns, status.st_size))
    except (ValueError, RecursionError):
        return None


def xml_root(path: pathlib.Path) -> str | None:
    """The name of the outermost element of an XML file; None if it is none.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        with path.open("rb") as file:
            return next((element.tag for _, element in ET.iterparse(file, ["start"])), None)
    except (ET.ParseError, LookupError, ValueError):  # of an encoding too
        return None
