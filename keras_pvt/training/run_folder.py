"""The folder of a training run: one run at a time, and the same one each time."""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping

from keras_pvt.training.distribution import Strategy
from keras_pvt.utils.files import replacing

SETTINGS = "settings.json"


@contextlib.contextmanager
def alone(out: pathlib.Path, strategy: Strategy) -> Iterator[None]:
    """The folder is there, and no other run writes to it."""
    import filelock

    if not strategy.chief:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    try:
        # The system lets go of it when the process ends, also by kill -9.
        with filelock.FileLock(out / ".lock", timeout=0):
            yield
    except filelock.Timeout:
        raise ValueError(f"another process trains in {out}; choose another --out.") from None


def same_settings(out: pathlib.Path, settings: Mapping, strategy: Strategy, begun: bool) -> None:
    """Write what the run is made of; or, where it was begun before, find the same.

    Args:
        out: folder of the run.
        settings: what decides its result.
        strategy: by which processes wait for the one that writes.
        begun: whether there is a checkpoint to go on from.
    Raises:
        ValueError: a setting differs from that of the run that was begun.
    """
    path = out / SETTINGS
    if begun and path.exists():
        before = json.loads(path.read_text())
        for name, value in settings.items():
            if before.get(name) != value:
                raise ValueError(
                    f"{out} was begun with {name} {before.get(name)!r}, now it is {value!r}; go on "
                    "with the same, or choose another --out."
                )
    elif strategy.chief:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(settings, indent=2) + "\n")
    strategy.barrier()
