"""Image files in batches: threads decode the next ones while a model runs."""

import concurrent.futures
import dataclasses
import logging
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from PIL import Image

from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.images import ImageError, decode_image
from keras_pvt.utils.threads import prefetched, processors
from keras_pvt.utils.video import Frame

logger = logging.getLogger("keras_pvt")

# Formats that Pillow knows by their endings, and does not read by itself: data of other kinds,
# films, and drawings that another program would have to paint.
NOT_READ = {"BUFR", "EPS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
NO_IMAGE = "file without the ending of an image: passed over"
LINK = "link to a folder, which may lead around: passed over"


@dataclasses.dataclass(frozen=True)
class Stored:
    """An image that is in no file of its own here.

    Args:
        name: for messages.
        load: gives the bytes of an image file; may raise OSError, whose text says what is wrong.
    """

    name: str
    load: Callable[[], bytes]


class FileImage(NamedTuple):
    """An image file or a frame: what a reader made of it, or what was wrong with it.

    Args:
        path: of the file.
        image: what the reader returned; None if it failed.
        error: why it failed; None if it did not.
        frame: which frame of the file, without its image; None: the file is an image.
    """

    path: pathlib.Path
    image: Any
    error: str | None
    frame: Frame | None = None


def by_ending(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Names of files with the ending of an image that Pillow reads, and all other names.

    Endings of Pillow's plugins count too, such as .heic once pillow_heif is registered.

    Args:
        names: of files; those that begin with a dot are in neither list.
    Returns:
        Both, each sorted.
    """
    endings = Image.registered_extensions()  # which loads every format first
    formats = {*Image.OPEN, "MPO"} - NOT_READ  # MPO is opened as the JPEG that it begins with
    images: list[str] = []
    others: list[str] = []
    for name in sorted(name for name in names if not name.startswith(".")):
        ending = os.path.splitext(name)[1].lower()
        (images if endings.get(ending) in formats else others).append(name)
    return images, others


def without_image(folder: pathlib.PurePath, others: list[str]) -> str:
    """What an error says of a folder: its name, and what is in it."""
    there = f"; it has {len(others)} other files, the first is {others[0]}" if others else ""
    return f"{os.fspath(folder)!r} has no image (.jpg, .png and others that Pillow reads){there}."


def image_files(
    sources: Iterable[str | os.PathLike], report: DataReport | None = None, deep: bool = False
) -> list[pathlib.Path]:
    """The files that are named, and the images in folders that are, by name.

    Args:
        sources: files, and folders, of which sub-folders and what begins with a dot are left out.
        report: counts the files in folders whose endings are of no image, and links to folders;
            by default they are logged, by logger "keras_pvt".
        deep: whether to look into sub-folders too, but for those that begin with a dot.
    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: a folder without an image.
        OSError: a folder that cannot be read.
    """
    files: list[pathlib.Path] = []
    passed_over = DataReport() if report is None else report
    for source in map(pathlib.Path, sources):
        if not source.is_dir():
            if not source.exists():
                raise FileNotFoundError(f"there is no file or folder {os.fspath(source)!r}.")
            files.append(source)
            continue
        names = _names_below(source, passed_over) if deep else _names_in(source)
        images, others = by_ending(names)
        for name in others:
            passed_over.add(NO_IMAGE, str(source / name))
        if not images:
            raise ValueError(f"folder {without_image(source, others)}")
        files += [source / name for name in images]
    if report is None:
        for line in passed_over.lines():
            logger.warning("%s", line)
    return files


def _names_in(folder: pathlib.Path) -> Iterator[str]:
    return (path.name for path in folder.iterdir() if not path.is_dir())


def _names_below(folder: pathlib.Path, report: DataReport) -> Iterator[str]:
    """Files of a folder and of its sub-folders, from there, but for what begins with a dot."""

    def fail(error: OSError) -> None:  # os.walk passes over what it cannot read
        raise error

    for where, folders, names in os.walk(folder, onerror=fail):
        folders[:] = (name for name in folders if not name.startswith("."))
        for path in (os.path.join(where, name) for name in folders):
            if os.path.islink(path):
                report.add(LINK, path)
        for name in names:
            if not name.startswith("."):
                yield os.path.relpath(os.path.join(where, name), folder)


def read_in_batches(
    paths: Iterable[str | os.PathLike | Frame | Stored],
    read: Callable[[Any], Any],
    batch_size: int,
) -> Iterator[list[FileImage]]:
    """Read image files by threads, at most two batches ahead.

    Args:
        paths: image files, frames of videos, and what is stored elsewhere.
        read: makes of a path, or of the uint8 array of a frame or of what is stored, what a model
            needs; may raise OSError and `ImageError`.
        batch_size: images that a model gets at once.
    Returns:
        Lists of `batch_size` files, in order, of which some may be errors; the last one may have
        fewer. So a file's batch depends on its number alone, and on no damaged file before it:
        the last bits of a result depend on the place in a batch.
    """
    batch: list[FileImage] = []
    with concurrent.futures.ThreadPoolExecutor(processors()) as pool:
        try:
            for item in prefetched(pool, lambda path: _read(path, read), paths, 2 * batch_size):
                batch.append(item)
                if len(batch) == batch_size:
                    yield batch
                    batch = []
        finally:  # after Ctrl-C what was to be read next would be waited for
            pool.shutdown(wait=False, cancel_futures=True)
    yield batch


def _read(source, read):
    frame = None
    if isinstance(source, Stored):
        return _read_stored(source, read)
    if isinstance(source, Frame):
        frame = dataclasses.replace(source, image=None)
        path, source = source.path, source.image
        if source is None:
            return FileImage(path, None, frame.error, frame)
    else:
        path = source = pathlib.Path(source)
    try:
        return FileImage(path, read(source), None, frame)
    except ImageError as error:
        return FileImage(path, None, str(error), frame)
    except OSError as error:
        return FileImage(path, None, f"{path} cannot be opened: {error.strerror or error}", frame)


def _read_stored(source, read):
    path = pathlib.Path(source.name)
    try:
        return FileImage(path, read(decode_image(source.load(), source.name)), None)
    except (ImageError, OSError) as error:
        return FileImage(path, None, str(error))
