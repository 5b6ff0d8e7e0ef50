"""Images in folders, by their endings, and lists of them."""

import os
import pathlib
import re
from collections.abc import Callable, Iterator

from keras_pvt.batch.sources.row import FILE, Row
from keras_pvt.batch.storage import discreetly, file_system, folder_of, is_remote, read
from keras_pvt.download.secrets import redacted
from keras_pvt.utils.image_files import by_ending, image_files, without_image

_NEWLINE = re.compile("\r\n|\r|\n")


def of_folder(address: str) -> Iterator[Row]:
    """The images of a folder and of those below it, by name; an id is the path from the folder.

    Args:
        address: of the folder; what begins with a dot is left out.
    Raises:
        ValueError: there is no image in it.
        OSError: it cannot be read.
    """
    if not is_remote(address):
        for path in image_files([address], deep=True):
            yield Row(path.relative_to(address).as_posix(), FILE, os.path.abspath(path))
        return
    with discreetly(address):
        system, root = file_system(address)
        found = system.find(root)
    root = root.rstrip("/")
    below = [path[len(root) + 1 :] for path in found]
    shown = [name for name in below if not any(p.startswith(".") for p in name.split("/"))]
    images, others = by_ending(shown)
    if not images:
        raise ValueError(f"folder {without_image(pathlib.PurePosixPath(root), others)}")
    for name in images:
        yield Row(name, FILE, system.unstrip_protocol(f"{root}/{name}"))


def of_list(address: str) -> Iterator[Row]:
    """The images that a text file names, one a line; an id is the line.

    Args:
        address: of the file, in UTF-8. Paths in it start at its folder; empty lines do not count.
    Raises:
        OSError: it cannot be read.
        ValueError: it is no text.
    """
    try:
        lines = read(address).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{redacted(address)} is no list of images in UTF-8: {error}") from None
    whole = beside(address)
    # Not splitlines() and strip(), which end lines at, and cut off, what names of files may have.
    for line in filter(None, (line.strip(" \t") for line in _NEWLINE.split(lines))):
        yield Row(redacted(line), FILE, whole(line))


def of_file(address: str) -> Iterator[Row]:
    """An image by itself; its id is its path or URL."""
    yield Row(redacted(address), FILE, address if is_remote(address) else os.path.abspath(address))


def beside(address: str) -> Callable[[str], str]:
    """What makes paths of those that a file names: they start at the file's folder."""
    remote, folder = is_remote(address), folder_of(address)

    def whole(path: str) -> str:
        if is_remote(path) or os.path.isabs(path):
            return path
        return f"{folder}/{path}" if remote else os.path.join(folder, path)

    return whole
