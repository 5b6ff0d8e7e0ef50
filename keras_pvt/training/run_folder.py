"""The folder of a training run: one run uses it at a time, and always the same one."""

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
    """Create the folder, and keep other runs from writing to it."""
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
    defaults: Mapping,
    strategy: Strategy,
    done: int,
    length: str = "epochs",
    extend: bool = False,
) -> None:
    """Write the settings of a new run, or compare them with those of the run to resume.

    Args:
        out: folder of the run.
        settings: settings that decide its result.
        defaults: of settings that the version of keras_pvt that started the run may not have had.
        strategy: lets processes wait for the one that writes.
        done: epochs up to the checkpoint to resume from; 0 if there is none.
        length: name of the setting for the length of the run.
        extend: whether the length may have been shorter before. The old length is kept under
            "extended".
    Raises:
        ValueError: a setting differs from that of the existing run, or there is no run to extend.
    """
    path = out / SETTINGS
    written: Mapping | None = None
    if done and path.exists():
        before = json.loads(path.read_text())
        earlier = before.get("extended", [])
        if longer := _is_more(settings[length], before.get(length)) and extend:
            earlier = [*earlier, {"after_epoch": done, length: before[length]}]
        for name, value in settings.items():
            had = before.get(name, defaults.get(name))
            if had != value and not (longer and name == length):
                raise ValueError(_differs(out, name, had, value, length))
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
        f"add --extend and more --{length} to train it for longer, or start another run from its "
        f"weights with --load-from {out / RESULT} (--weights: those of the backbone) and another "
        "--out"
    )


def _differs(out: pathlib.Path, name: str, before, value, length: str) -> str:
    advice = "rerun with the same value, or choose another --out"
    if name == length and _is_more(value, before):
        advice = how_to_go_on(out, length)
    return f"{out} was started with {name} {before!r}, now it is {value!r}; {advice}."


def _is_more(value, before) -> bool:
    return isinstance(before, int) and value > before
