"""Image files in batches: threads decode the next ones while a model runs."""

import concurrent.futures
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from keras_pvt.utils.images import ImageError
from keras_pvt.utils.threads import prefetched, processors

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")


class FileImage(NamedTuple):
    """An image file: what a reader made of it, or what was wrong with it.

    Args:
        path: of the file.
        image: what the reader returned; None if it failed.
        error: why it failed; None if it did not.
    """

    path: pathlib.Path
    image: Any
    error: str | None


def image_files(sources: Iterable[str | os.PathLike]) -> list[pathlib.Path]:
    """The files that are named, and the images in folders that are, by name.

    Args:
        sources: files, and folders, whose sub-folders are left out.
    Raises:
        FileNotFoundError: there is no such file or folder.
        ValueError: a folder without an image.
    """
    files: list[pathlib.Path] = []
    for source in map(pathlib.Path, sources):
        if not source.is_dir():
            if not source.exists():
                raise FileNotFoundError(f"there is no file or folder {os.fspath(source)!r}.")
            files.append(source)
            continue
        found = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES)
        if not found:
            raise ValueError(f"folder {os.fspath(source)!r} has no image ({', '.join(SUFFIXES)}).")
        files += found
    return files


def read_in_batches(
    paths: Iterable[str | os.PathLike], read: Callable[[pathlib.Path], Any], batch_size: int
) -> Iterator[list[FileImage]]:
    """Read image files by threads, at most two batches ahead.

    Args:
        paths: image files.
        read: makes of a file what a model needs; may raise OSError and `ImageError`.
        batch_size: images that a model gets at once.
    Returns:
        Lists of files, in order, each with `batch_size` images and any number of errors; the
        last one may have fewer.
    """
    batch: list[FileImage] = []
    images = 0
    with concurrent.futures.ThreadPoolExecutor(processors()) as pool:
        for item in prefetched(
            pool, lambda path: _read(path, read), map(pathlib.Path, paths), 2 * batch_size
        ):
            batch.append(item)
            images += item.image is not None
            if images == batch_size:
                yield batch
                batch, images = [], 0
    yield batch


def _read(path, read):
    try:
        return FileImage(path, read(path), None)
    except ImageError as error:
        return FileImage(path, None, str(error))
    except OSError as error:
        return FileImage(path, None, f"{path} cannot be opened: {error.strerror or error}")
