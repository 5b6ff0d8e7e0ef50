"""Lists of files that are one checkpoint together: Keras's `.weights.json`, and the
`.safetensors.index.json` of Hugging Face's libraries."""

import contextlib
import json
import mmap
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from keras_pvt.conversion.readers.mapped import CheckpointError, map_file

# Of the list: bytes, and files. Keras's own shards have 5 GB by default.
MAX_LIST = 16 * 1024**2
MAX_SHARDS = 1000
KERAS, SAFETENSORS = ".weights.h5", ".safetensors"
# How the names of lists end.
LISTS = (".weights.json", ".safetensors.index.json")
# How libraries call the file of weights in a folder that has no list, the best first.
WHOLE = ("model.safetensors", "pytorch_model.bin", "model.weights.h5", "model.keras")


class Shards(NamedTuple):
    """The files of a checkpoint.

    Args:
        suffix: of all of them, `KERAS` or `SAFETENSORS`.
        files: by their names, mapped.
        weight_map: what is in which file, by the words of the library.
    """

    suffix: str
    files: dict[str, tuple[pathlib.Path, mmap.mmap]]
    weight_map: Mapping[str, Any]


def read_list(mapped: mmap.mmap, path: pathlib.Path) -> Shards:
    """The files that a list names, which lie beside it.

    Args:
        mapped: the list.
        path: of the list.
    Raises:
        CheckpointError: a damaged list; files that are not beside it.
        OSError: a file that cannot be opened.
    """
    suffix, names, weight_map = _parsed(mapped[: MAX_LIST + 1])
    files = {}
    for name in names:
        shard = path.with_name(name)
        if not shard.is_file():
            raise CheckpointError(f"the shard {name[:80]!r} is not beside the list")
        files[name] = shard, map_file(shard)
    return Shards(suffix, files, weight_map)


def names_in(text: bytes) -> list[str]:
    """Names of the files in a list, which lie beside it, each once.

    Args:
        text: of the list.
    Raises:
        CheckpointError: a damaged list.
    """
    return _parsed(text)[1]


def lists_of(file: pathlib.Path) -> list[str]:
    """Names of the lists beside a file that name it as one of several.

    Args:
        file: any, which exists.
    """
    found = []
    for other in file.parent.iterdir() if file.name.endswith((KERAS, SAFETENSORS)) else ():
        if other.name.endswith(LISTS):
            with contextlib.suppress(CheckpointError, OSError), open(other, "rb") as opened:
                names = names_in(opened.read(MAX_LIST + 1))
                found += [other.name] if file.name in names and len(names) > 1 else []
    return sorted(found)


def _parsed(text: bytes) -> tuple[str, list[str], Mapping[str, Any]]:
    """Suffix and names of the files in a list, and what is in which."""
    if len(text) > MAX_LIST:
        raise CheckpointError(f"the list of shards has more than {MAX_LIST:,} bytes")
    try:
        table = json.loads(text)
        if isinstance(table, dict) and "weight_map" not in table:
            raise CheckpointError(
                "a JSON file that is no list of shards, as it has no `weight_map`: give the file "
                "of the weights"
            )
        return *_names(table), table["weight_map"]
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the list of shards is damaged: {error}") from error


def _names(table: Any) -> tuple[str, list[str]]:
    """Suffix and names of the files in a list, each once; ValueError for what is none."""
    weight_map = table.get("weight_map") if isinstance(table, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError("it has no `weight_map`")
    names: dict[str, None] = {}
    suffix = KERAS
    for value in weight_map.values():
        for name in value if isinstance(value, list) else [value]:
            if not names and isinstance(name, str) and name.endswith(SAFETENSORS):
                suffix = SAFETENSORS
            plain = isinstance(name, str) and name.endswith(suffix)
            if not plain or not {"/", "\\", ":", "\0"}.isdisjoint(name):
                raise ValueError(f"{str(name)[:80]!r} is no name of a {suffix} file beside it")
            names[name] = None
    if len(names) > MAX_SHARDS:
        raise ValueError(f"it lists {len(names):,} files, where at most {MAX_SHARDS:,} are read")
    return suffix, list(names)


def file_in(folder: pathlib.Path) -> pathlib.Path:
    """The file that a folder of weights stands for: its list of shards, or the one of `WHOLE`.

    Raises:
        IsADirectoryError: there is none, or there are several lists.
    """
    found = sorted(file for file in folder.iterdir() if file.name.endswith(LISTS))
    if len(found) == 1:
        return found[0]
    if found:
        has = f"several lists of shards ({', '.join(file.name for file in found[:4])})"
        raise IsADirectoryError(f"{folder} is a folder with {has}; give a file.")
    for name in WHOLE:
        if (folder / name).is_file():
            return folder / name
    raise IsADirectoryError(
        f"{folder} is a folder with no list of shards and no {' or '.join(WHOLE)}; give a file."
    )
