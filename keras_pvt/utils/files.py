"""Files: written whole under their name or not at all, and told by their sha256."""

import contextlib
import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

# How the folders begin in which things are written before they get their names.
TEMPORARY = ".keras_pvt-"


def sha256_of(path: pathlib.Path) -> str:
    """sha256 of a file, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """A path to write to; what lies there in the end takes the place of `path`, or nothing does.

    It has the name of `path`, in a folder of its own on the same disk. Files written beside it,
    as OpenVINO's .bin is beside its .xml, go along. If anything fails, what was there stays.

    Args:
        path: of a file, or of a folder such as a SavedModel.
    Raises:
        FileNotFoundError: the folder of `path` does not exist, or nothing was written.
        OSError: the disk is full, the folder cannot be written to, or `path` is a folder where a
            file was written, a file where a folder was, or neither, as a device is.
    """
    path = pathlib.Path(path)
    if not path.name or (path.exists() and not path.is_file() and not path.is_dir()):
        raise OSError(f"{str(path)!r} is no name of a file; give another.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {str(path.parent)!r}; create it.")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=TEMPORARY) as folder:
        new, old = pathlib.Path(folder) / "new", pathlib.Path(folder) / "old"
        new.mkdir()
        old.mkdir()
        yield new / path.name
        if not (new / path.name).exists():
            raise FileNotFoundError(f"{path}: nothing was written.")
        for part in new.rglob("*"):
            _sync(part)
        _move_all(new, old, path)
        _sync(path.parent)


def put_in_place(part: pathlib.Path, path: pathlib.Path) -> None:
    """Give a whole file its name, in one step; what has the name is replaced.

    Args:
        part: of the file, in the folder of `path`.
        path: its name from now on.
    """
    _sync(part)
    os.replace(part, path)
    _sync(path.parent)


def write_json(path: pathlib.Path, table: Mapping[str, Any]) -> None:
    """Write a table as people read it; in `replacing`, as it is not whole at once.

    Args:
        path: of the file.
        table: of what JSON has.
    """
    path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", "utf-8")


def _move_all(new: pathlib.Path, old: pathlib.Path, path: pathlib.Path) -> None:
    """Move every part to its place; if one cannot be, put back what the others replaced."""
    # The file that a reader is given comes last, so that it never stands alone.
    names = sorted(os.listdir(new), key=lambda name: name == path.name)
    for name in names:  # a folder of the user's never makes way for a file
        target = path.parent / name
        if target.exists() and target.is_dir() != (new / name).is_dir():
            if target.is_dir():
                raise IsADirectoryError(f"{target} is a folder; give the name of a file.")
            raise NotADirectoryError(f"{target} is a file; give the name of a folder.")
    moved = []
    try:
        for name in names:
            target = path.parent / name
            if target.exists() and (len(names) > 1 or target.is_dir()):
                os.rename(target, old / name)
            moved.append(name)
            os.replace(new / name, target)  # one file alone is never missing
    except BaseException:  # Ctrl-C too
        for name in reversed(moved):
            if (old / name).exists():
                target = path.parent / name
                if target.exists():
                    os.rename(target, new / name)
                os.rename(old / name, target)
            elif len(names) > 1:
                (path.parent / name).unlink(missing_ok=True)
        raise


def _sync(path: pathlib.Path) -> None:
    """Have the disk hold what was written, so that a loss of power leaves no empty file."""
    if not path.is_dir():
        with open(path, "rb+") as file:
            os.fsync(file.fileno())
        return
    with contextlib.suppress(OSError):  # Windows opens no folder, some disks sync none
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
