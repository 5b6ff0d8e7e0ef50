"""One run at a time in a folder of results."""

import contextlib
from collections.abc import Callable, Iterator

from keras_pvt.batch.storage import Folder

LOCK, OWNER = "_lock", "_owner"


@contextlib.contextmanager
def owned(folder: Folder, run: str) -> Iterator[Callable[[], None]]:
    """Own a folder while a run writes to it.

    On a disk a lock is held, which ends with the process. An object store has none: there the run
    that came last owns the folder, and the one before stops when it sees that.

    Args:
        folder: of results.
        run: name of the run.
    Yields:
        What raises a RuntimeError where another run owns the folder by now.
    Raises:
        ValueError: another process holds the lock.
    """
    if folder.is_remote:
        folder.write(OWNER, run.encode())

        def check() -> None:
            if folder.read(OWNER) != run.encode():
                raise RuntimeError(
                    f"another run has begun in {folder.address}, which goes on with the job; this "
                    "one stops."
                )

        yield check
        return
    import filelock

    lock = filelock.FileLock(folder.path(LOCK))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise ValueError(
            f"another run is writing to {folder.address}; wait until it ends."
        ) from None
    try:
        yield lambda: None
    finally:
        lock.release()
