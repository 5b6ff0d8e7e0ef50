"""Where an artifact goes, and how large it is there."""

import pathlib
import tempfile

from keras_pvt.formats import FORMATS


def check(path: pathlib.Path, folder: bool, overwrite: bool) -> None:
    """Raise an OSError for a target that cannot be written, before any work is done.

    Args:
        path: of the artifact.
        folder: whether the artifact is a folder, a SavedModel, instead of a file.
        overwrite: whether one that is there may be replaced.
    """
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; pass overwrite=True (--overwrite) to replace it.")
    if path.is_dir() and not (folder and (path / "saved_model.pb").exists()):
        raise IsADirectoryError(f"{path} is a folder, and no SavedModel: it is not replaced.")
    if folder and path.is_file():
        raise NotADirectoryError(f"{path} is a file; a SavedModel is a folder.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {str(path.parent)!r}.")
    try:  # permissions alone do not tell: of file systems that are read-only, or not of files
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise PermissionError(
            f"{path}: the folder {str(path.parent)!r} cannot be written to: {error.strerror}."
        ) from error


def size_of(path: pathlib.Path) -> int:
    """Bytes of an artifact: a file with those beside it of the same stem, or a folder."""
    if path.is_dir():
        return sum(part.stat().st_size for part in path.rglob("*") if part.is_file())
    suffixes = {format.beside for format in FORMATS.values() if format.suffix == path.suffix}
    files = [path, *(path.with_suffix(suffix) for suffix in suffixes if suffix)]
    return sum(file.stat().st_size for file in files if file.exists())
