"""Files here, on object stores and by HTTP, through fsspec; errors name no secrets."""

import contextlib
import functools
import os
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

from keras_pvt.download.secrets import redacted, redacted_text
from keras_pvt.utils.extras import needed_for

# Of a file or record that is to be an image: more is not read into memory.
MOST_BYTES = 1 << 28
ATTEMPTS = 3  # to read what is not here
PAUSE = 0.5  # seconds before the second attempt; then twice that
_ABSENT, _REFUSED = (404, 410), (401, 403)  # answers of HTTP that will not change soon


def is_remote(address: str) -> bool:
    """Whether an address is a URL, such as s3://bucket/folder, and no path."""
    return "://" in address


def is_by_http(address: str) -> bool:
    """Whether an address is one of HTTP, which knows no folders."""
    return address.startswith(("http://", "https://"))


def name_of(address: str) -> str:
    """The name of a file, without what follows it in a URL."""
    path = redacted(address).partition("?")[0] if is_remote(address) else address
    return path.replace(os.sep, "/").rpartition("/")[2]


def folder_of(address: str) -> str:
    """The folder of a file; that of a URL has no query, which may have slashes of its own."""
    if not is_remote(address):
        return os.path.dirname(os.path.abspath(address))
    # Only queries of HTTP are apart from the name: an object of a store may have ? in its own.
    path = address.partition("?")[0] if is_by_http(address) else address
    return path.rpartition("/")[0]


def absolute(address: str) -> str:
    """The same place by an address that does not depend on the current folder."""
    return address if is_remote(address) else os.path.abspath(address)


def file_system(address: str) -> tuple[Any, str]:
    """What fsspec reads an address with, and the path there.

    Args:
        address: a path, or a URL of a protocol that fsspec knows.
    Raises:
        ImportError: fsspec, or what it needs for the protocol, is not installed.
        ValueError: an unknown protocol.
    """
    with needed_for("reading images in batches", "batch"):
        import fsspec.core
    try:
        return fsspec.core.url_to_fs(address)
    except ImportError as error:
        raise ImportError(f"{redacted(address)}: {error}") from error
    except ValueError as error:
        raise ValueError(redacted_text(f"{address}: {error}", address)) from None


@contextlib.contextmanager
def discreetly(address: str, what: str = "read") -> Iterator[None]:
    """Have whatever goes wrong with an address be an OSError that names no secrets of it.

    Args:
        address: of a file or folder.
        what: cannot be done with it.
    """
    try:
        yield
    except Exception as error:  # libraries of protocols have errors of their own
        found: BaseException = error
        if isinstance(error, FileNotFoundError) and what == "read":
            # fsspec says so of all that goes wrong by HTTP, and the reason is its cause:
            # https://github.com/fsspec/filesystem_spec/issues/873
            if is_by_http(address) and error.__cause__ is not None:
                found = error.__cause__
            if found is error or getattr(found, "status", None) in _ABSENT:
                raise FileNotFoundError(f"there is no {redacted(address)!r}.") from None
        own = getattr(found, "strerror", None) or f"{type(found).__name__}: {found}"
        said = f"{redacted(address)} cannot be {what}: {redacted_text(own, address)}"
        kind = PermissionError if getattr(found, "status", None) in _REFUSED else OSError
        raise kind(said) from None


def open_file(address: str) -> BinaryIO:
    """Open a file to read from, anywhere in it.

    Raises:
        OSError: it cannot be opened.
    """
    if not is_remote(address):
        return open(address, "rb")
    with discreetly(address):
        system, path = file_system(address)
        return system.open(path, "rb")


def read(address: str, start: int | None = None, length: int | None = None) -> bytes:
    """The bytes of a file, or some of them. What is not here is asked for three times.

    Args:
        address: of the file.
        start: of the part that is wanted; None: the whole file.
        length: of the part, in bytes.
    Raises:
        OSError: it cannot be read, has too few bytes, or more than `MOST_BYTES`.
    """
    if length is not None and length > MOST_BYTES:
        raise OSError(_too_large(address))
    if not is_remote(address):
        return _read_once(address, start, length)
    with discreetly(address):  # a library that is missing comes by no second attempt
        file_system(address)
    for attempt in range(ATTEMPTS):
        try:
            return _read_once(address, start, length)
        except (FileNotFoundError, PermissionError):
            raise
        except OSError:
            if attempt == ATTEMPTS - 1:
                raise
            time.sleep(PAUSE * 2**attempt)
    raise AssertionError("not reached")


def _read_once(address: str, start: int | None, length: int | None) -> bytes:
    with open_file(address) as file, discreetly(address):
        if start is not None:
            file.seek(start)
        content = file.read(MOST_BYTES + 1 if length is None else length)
    if length is None and len(content) > MOST_BYTES:
        raise OSError(_too_large(address))
    if length is not None and len(content) < length:
        raise OSError(f"{redacted(address)} ends within the image.")
    return content


def _too_large(address: str) -> str:
    return f"{redacted(address)} has more than {MOST_BYTES >> 20} MiB, which no image here may have"


class Folder:
    """A folder to write to, here or on an object store.

    Args:
        address: of the folder, which need not exist.
    Raises:
        ImportError, ValueError: see `file_system`.
    """

    def __init__(self, address: str):
        self.address = absolute(address)
        self.is_remote = is_remote(address)

    @functools.cached_property
    def _at(self) -> tuple[Any, str]:
        return file_system(self.address)

    def __getstate__(self):
        return {"address": self.address, "is_remote": self.is_remote}

    @property
    def place(self) -> str | None:
        """Where it is on a disk of this machine, whatever leads there; None: it is elsewhere."""
        system, path = self._at
        return os.path.realpath(path) if "file" in system.protocol else None

    def path(self, name: str) -> str:
        """Of a file in it, for `file_system`."""
        return f"{self._at[1].rstrip('/')}/{name}"

    def make(self, name: str = "") -> None:
        """Create it, or a folder in it."""
        system = self._at[0]  # an error says what to install
        with discreetly(self.address, "created"):
            system.makedirs(self.path(name).rstrip("/"), exist_ok=True)

    def names(self) -> list[str]:
        """Of the files and folders in it, sorted; none where it is not there."""
        system, path = self._at
        with discreetly(self.address):
            system.invalidate_cache()
            if not system.exists(path):
                return []
            entries = system.ls(path, detail=False)
        return sorted(entry.rstrip("/").rpartition("/")[2] for entry in entries)

    def exists(self, name: str) -> bool:
        """Whether there is such a file in it."""
        with discreetly(self.address):
            return self._at[0].exists(self.path(name))

    def open(self, name: str, mode: str) -> BinaryIO:
        """Open a file of it."""
        with discreetly(f"{self.address}/{name}", "read" if mode == "rb" else "written"):
            return self._at[0].open(self.path(name), mode)

    def read(self, name: str) -> bytes:
        """The bytes of a file of it."""
        with discreetly(f"{self.address}/{name}"):
            return self._at[0].cat_file(self.path(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a file of it, whole or not at all."""
        if self.is_remote:  # where an object appears when it is whole
            with discreetly(self.address, "written"):
                self._at[0].pipe_file(self.path(name), content)
            return
        from keras_pvt.utils.files import replacing

        with replacing(self.path(name)) as path:
            path.write_bytes(content)

    def move(self, name: str, target: str) -> None:
        """Give a whole file another name, which it has at once; what has the name is replaced."""
        if self.is_remote:
            with discreetly(self.address, "written"):
                self._at[0].mv(self.path(name), self.path(target))
            return
        import pathlib

        from keras_pvt.utils.files import put_in_place

        put_in_place(pathlib.Path(self.path(name)), pathlib.Path(self.path(target)))

    def remove(self, name: str) -> None:
        """Remove a file or a folder of it, if it is there."""
        system, path = self._at[0], self.path(name)
        with discreetly(self.address, "written"):
            if system.exists(path):
                system.rm(path, recursive=True)
