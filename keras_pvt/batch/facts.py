"""What a folder of results is of: written once, and compared by every run that goes on."""

import json
from typing import Any

from keras_pvt.batch.storage import Folder
from keras_pvt.engines.fingerprint import digest

FILE = "_job.json"  # readers of Parquet folders pass over what begins with _
VERSION = 1  # of the layout of the folder
_SHOWN = 200  # characters of a fact in a message


def fingerprint(facts: dict[str, Any]) -> str:
    """32 hexadecimal digits of all that decides the results; sources may grow, and are no part."""
    return digest({name: value for name, value in facts.items() if name != "sources"})


def read(folder: Folder) -> dict[str, Any] | None:
    """The facts of a folder; None: it has none yet.

    Raises:
        ValueError: it has results and no facts, or some that this version does not read.
    """
    if not folder.exists(FILE):
        others = [name for name in folder.names() if not name.startswith((".", "_"))]
        if others:
            raise ValueError(
                f"{folder.address} has {len(others)} files, such as {others[0]}, and no {FILE}: it "
                "is no folder of results; name another."
            )
        return None
    try:
        facts = json.loads(folder.read(FILE))
    except ValueError as error:
        raise ValueError(f"{FILE} of {folder.address} cannot be read: {error}") from error
    if not isinstance(facts, dict) or facts.get("version") != VERSION:
        raise ValueError(f"{FILE} of {folder.address} is of another version of keras_pvt.")
    return facts


def check(stored: dict[str, Any], now: dict[str, Any], address: str) -> None:
    """Refuse to mix results.

    Args:
        stored: facts of the folder.
        now: of this run.
        address: of the folder, for the message.
    Raises:
        ValueError: they differ, but for sources that came; says in what.
    """
    told = [
        f"{name} {_shown(stored.get(name))}, now {_shown(now.get(name))}"
        for name in sorted(stored.keys() | now.keys())
        if name != "sources" and stored.get(name) != now.get(name)
    ]
    gone = sorted(set(stored.get("sources", ())) - set(now["sources"]))
    if gone:
        told.append(f"its source {', '.join(gone)} is not among {', '.join(now['sources'])}")
    if told:
        raise ValueError(
            f"{address} has results of another job: {'; '.join(told)}. Name another folder, or run "
            "the job that it is of."
        )


def write(folder: Folder, facts: dict[str, Any]) -> None:
    """Keep the facts in the folder."""
    folder.write(FILE, (json.dumps(facts, indent=2) + "\n").encode())


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
