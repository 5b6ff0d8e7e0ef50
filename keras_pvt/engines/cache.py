"""The cache of artifacts: for each a folder with its files, and a record of what they are.

It lies beside the weights, in "engines" of `keras_pvt.download.cache.folder`, and may be removed at
any time, in part or whole:

    measured.json           which engine is the fastest on a machine, see `choice`
    MODEL/facts.json        what else a program has to know of the model
    MODEL/ARTIFACT/         the artifact and record.json
    MODEL/ARTIFACT.json     why there is none
"""

import contextlib
import json
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keras_pvt.download.cache import folder as cache_folder
from keras_pvt.engines.fingerprint import digest
from keras_pvt.utils.files import replacing, sha256_of, write_json

RECORD, FACTS, MEASURED = "record.json", "facts.json", "measured.json"
# Of a record, in bytes; a table of 20,000 names has less.
_LARGEST = 1 << 22


class DamagedError(ValueError):
    """An artifact in the cache is not what its record says."""


def folder() -> pathlib.Path:
    """The folder of the cache."""
    return cache_folder() / "engines"


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
    """Be the only process that writes what has this path; its folder is made.

    Raises:
        OSError: the folder cannot be written.
    """
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    # The system drops the lock of a process that dies.
    with FileLock(path.with_name(f"{path.name}.lock")):
        yield


def read_table(path: pathlib.Path) -> dict[str, Any]:
    """A file of JSON that holds a table; empty where there is none, or something else."""
    try:
        with path.open("rb") as file:
            table = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return table if isinstance(table, dict) else {}


def write_table(path: pathlib.Path, table: Mapping[str, Any]) -> None:
    """Write a table, whole or not at all; in `locked`, as others may write it too.

    Raises:
        OSError: the folder cannot be written.
    """
    with replacing(path) as temporary:
        write_json(temporary, table)


def sealed(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table with a digest of it, as anything may have written there."""
    return {**table, "digest": digest(table)}


def unsealed(table: Mapping[str, Any]) -> dict[str, Any] | None:
    """The table that `sealed` was given; None if this is no such table."""
    content = {name: value for name, value in table.items() if name != "digest"}
    return content if table.get("digest") == digest(content) else None


class Entry:
    """An artifact in the cache.

    Args:
        path: of its folder.
        name: of its file there.
    """

    def __init__(self, path: pathlib.Path, name: str):
        self.path = path
        self.artifact = path / name

    def read(self) -> dict[str, Any] | None:
        """The record; None where there is no artifact.

        Raises:
            DamagedError: a file is missing, or is another than was written.
        """
        if not self.path.exists():
            return None
        record = unsealed(read_table(self.path / RECORD))
        if record is None:
            raise DamagedError(f"{self.path} has no record")
        files = record["files"]
        for name, expected in files.items():
            try:
                found = sha256_of(self.path / pathlib.PurePath(name).name)
            except OSError as error:
                raise DamagedError(f"{self.path / name}: {error.strerror or error}") from error
            if found != expected:
                raise DamagedError(f"{self.path / name} is another than was written")
        return record

    def write(self, make: Callable[[pathlib.Path], Mapping[str, Any]]) -> dict[str, Any]:
        """Make an artifact, which replaces what was there.

        Args:
            make: writes it to a path and gives what the record has to say.
        Returns:
            The record.
        Raises:
            OSError: the folder cannot be written, or is full.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path) as temporary:
            temporary.mkdir()
            record = dict(make(temporary / self.artifact.name))
            record["files"] = {file.name: sha256_of(file) for file in sorted(temporary.iterdir())}
            write_json(temporary / RECORD, sealed(record))
        return record

    @property
    def refusal(self) -> pathlib.Path:
        """A table that says why there is no artifact, and is not tried again."""
        return self.path.with_name(f"{self.path.name}.json")
