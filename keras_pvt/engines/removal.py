"""What keeps the cache of artifacts from growing: those that nobody used for long are removed."""

import contextlib
import logging
import math
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator

from keras_pvt.engines.cache import RECORD, folder
from keras_pvt.utils.files import TEMPORARY

logger = logging.getLogger("keras_pvt.engines")

VARIABLE, GIB = "KERAS_PVT_ENGINES_GIB", 2.0
# An artifact that was used within so many seconds may be in use, perhaps by another machine that
# has the same folder. Whoever has it open says so at least every `SAYS` seconds.
IN_USE, SAYS = 3600, 600
# Seconds after which what is half-written is nobody's: its process died, no export is as long.
ABANDONED = 86400


def used(artifact: pathlib.Path) -> None:
    """Say that an artifact is in use.

    Args:
        artifact: its folder.
    """
    with contextlib.suppress(OSError):  # it was removed, or the folder is not the user's
        os.utime(artifact / RECORD)


def remove_old() -> None:
    """Remove the artifacts that were not used for the longest time, until the rest is small enough.

    None that may be in use is removed, nor one that is being written. What cannot be removed stays.
    """
    limit = _limit()
    found = sorted(_artifacts())
    size = sum(one for _, one, _ in found)
    for last, own, path in found:
        if size <= limit or last > time.time() - IN_USE:
            break
        if _remove(path, last):
            size -= own
            logger.info(
                "removed from the cache of engines, which is to have %g GiB at most (%s): "
                "%s of %.0f MB, last used on %s", limit / 2**30, VARIABLE, path, own / 1e6,
                time.strftime("%Y-%m-%d", time.localtime(last)),
            )  # fmt: skip
    for path in folder().glob(f"*/{TEMPORARY}*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - ABANDONED:
                shutil.rmtree(path)


def _limit() -> float:
    """Of the cache, in bytes."""
    text = os.environ.get(VARIABLE)
    if not text:
        return GIB * 2**30
    try:
        limit = float(text) * 2**30
    except ValueError:
        limit = math.nan
    if limit >= 0:
        return limit
    logger.warning("%s is no number of GiB: %r; %g are kept", VARIABLE, text, GIB)
    return GIB * 2**30


def _artifacts() -> Iterator[tuple[float, int, pathlib.Path]]:
    """Of each artifact: when it was last used, its bytes, and its folder."""
    for record in folder().glob(f"*/*/{RECORD}"):
        try:
            size = sum(file.stat().st_size for file in record.parent.iterdir())
            last = record.stat().st_mtime
        except OSError:  # another process removes it
            continue
        yield last, size, record.parent


def _remove(path: pathlib.Path, last: float) -> bool:
    """Whether an artifact was removed: not if it is written, was used since, or cannot be."""
    from filelock import FileLock

    try:
        with FileLock(path.with_name(f"{path.name}.lock"), timeout=0):
            if (path / RECORD).stat().st_mtime > last:
                return False
            # In one step, so that nobody finds a part of it.
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=TEMPORARY) as away:
                path.rename(pathlib.Path(away) / path.name)
    except OSError:  # which filelock's Timeout is too
        return False
    return True
