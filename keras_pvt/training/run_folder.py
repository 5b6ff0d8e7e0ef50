"""The folder of a training run: one run at a time, and the same one each time."""

import contextlib
import json
import pathlib
from collections.abc import Iterator, Mapping

from keras_pvt.models.trained_model import RESULT
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


def same_settings(
    out: pathlib.Path,
    settings: Mapping,
    strategy: Strategy,
    done: int,
    length: str = "epochs",
    extend: bool = False,
) -> None:
    """Write what the run is made of; or, where it was begun before, find the same.

    Args:
        out: folder of the run.
        settings: what decides its result.
        strategy: by which processes wait for the one that writes.
        done: epochs up to the checkpoint to go on from; 0 where there is none.
        length: name of the setting that says how long the run is.
        extend: whether that may have been less before. What it was is kept, under "extended".
    Raises:
        ValueError: a setting differs from that of the run that was begun, or there is no run to
            extend.
    """
    path = out / SETTINGS
    written: Mapping | None = None
    if done and path.exists():
        before = json.loads(path.read_text())
        earlier = before.get("extended", [])
        if longer := _is_more(settings[length], before.get(length)) and extend:
            earlier = [*earlier, {"after_epoch": done, length: before[length]}]
        for name, value in settings.items():
            if before.get(name) != value and not (longer and name == length):
                raise ValueError(_differs(out, name, before.get(name), value, length))
        if longer:
            written = {**settings, "extended": earlier}
    elif extend:
        raise ValueError(f"--extend: there is no run in {out} that could be extended.")
    else:
        written = settings
    if written is not None and strategy.chief:
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(written, indent=2) + "\n")
    strategy.barrier()


def how_to_go_on(out: pathlib.Path, length: str) -> str:
    """What to give to train a run for longer."""
    return (
        f"add --extend and more --{length} to train it for longer, or begin another run from its "
        f"weights by --weights {out / RESULT} and another --out"
    )


def _differs(out: pathlib.Path, name: str, before, value, length: str) -> str:
    advice = "go on with the same, or choose another --out"
    if name == length and _is_more(value, before):
        advice = how_to_go_on(out, length)
    return f"{out} was begun with {name} {before!r}, now it is {value!r}; {advice}."


def _is_more(value, before) -> bool:
    return isinstance(before, int) and value > before
