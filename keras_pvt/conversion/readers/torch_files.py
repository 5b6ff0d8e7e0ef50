"""Reads what `torch.save` writes, without torch: zip files, and the format before 1.6."""

import functools
import math
import mmap
import operator
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_pvt.conversion.readers import trainers
from keras_pvt.conversion.readers.mapped import (
    MAX_RANK,
    Archive,
    CheckpointError,
    check_total,
    numpy_dtype,
    view,
)
from keras_pvt.conversion.readers.unpickle import (
    OF_A_MODULE,
    Opaque,
    Storage,
    Tensor,
    read_pickle,
)

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b"\x80\x02\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little")

# Where trainers put the state dict; the averaged weights first, as they are the better ones.
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict")
WRAPPERS = (*AVERAGED, "state_dict", "model")
# What stands before the keys of averaged weights, where they lie among the others.
AMONG = ("ema_model.", "model_ema.")
# How a caller asks for the averaged one, whatever the file calls it.
EMA = "ema"


class StateDict(NamedTuple):
    """What is read of a file.

    Args:
        arrays: by their keys.
        part: of the file that they are; None: all of it.
        others: names of the state dicts that it holds beside that.
        writer: the program that wrote the file, as far as what lies beside the weights tells.
        classes: names of classes that lie beside the weights.
    """

    arrays: dict[str, np.ndarray]
    part: str | None
    others: list[str]
    writer: str | None
    classes: tuple[str, ...] | None


def read_zip(archive: Archive, which: str | None = None) -> StateDict:
    """State dict of a zip file of torch 1.6 or later.

    Args:
        archive: the file.
        which: "ema", or the name of the state dict, where there are several; by default the first
            of `WRAPPERS`.
    Raises:
        CheckpointError: see `read_pickle`; storages that are missing or of wrong sizes; no such
            state dict.
    """
    (pickle_name,) = (name for name in archive.names if name.rsplit("/", 1)[-1] == "data.pkl")
    folder = pickle_name.removesuffix("data.pkl")
    order = f"{folder}byteorder"
    if order in archive.names and bytes(archive.read(order)) != b"little":
        raise CheckpointError("the numbers are big-endian; save them on a little-endian machine")
    content = read_pickle(bytes(archive.read(pickle_name))).value

    def numbers(storage: Storage) -> np.ndarray:
        data = archive.read(f"{folder}data/{storage.key}")
        if len(data) != storage.size * numpy_dtype(storage.dtype).itemsize:
            raise CheckpointError(
                f"storage {storage.key!r} has {len(data)} bytes, not {storage.size} numbers "
                f"of {storage.dtype}"
            )
        return view(data, storage.dtype, (storage.size,))

    return _state_dict(content, numbers, which, archive.size)


def read_legacy(mapped: mmap.mmap, which: str | None = None) -> StateDict:
    """State dict of a file of torch before 1.6.

    Five pickles (a magic number, the version, facts of the machine, the content, the keys of
    the storages), then for each key the number of its numbers, in 8 bytes, and these.

    Args:
        mapped: the file.
        which: see `read_zip`.
    Raises:
        CheckpointError: see `read_zip`.
    """
    position, pickles = 0, []
    for _ in range(5):
        pickles.append(read_pickle(mapped, position))
        position = pickles[-1].end
    _, version, machine, content, keys = (pickle.value for pickle in pickles)
    if version != 1001 or not isinstance(machine, dict) or not isinstance(keys, list):
        raise CheckpointError("the legacy torch file is of an unknown version")
    if machine.get("little_endian") is not True:
        raise CheckpointError("the numbers are big-endian; save them on a little-endian machine")
    dtypes = pickles[3].dtypes  # also of an optimiser: its storages lie between those of weights
    starts: dict[str, tuple[int, int]] = {}
    for key in keys:
        if not isinstance(key, str):  # to spell a nest of tuples could take for ever
            raise CheckpointError(
                f"the legacy torch file lists a storage by a {type(key).__name__}, not its name"
            )
        if key in starts or key not in dtypes:
            raise CheckpointError(f"the legacy torch file lists storage {key[:40]!r} wrongly")
        size = int(view(mapped, "int64", (1,), position)[0])
        starts[key] = position + 8, size
        position += 8 + size * numpy_dtype(dtypes[key]).itemsize
        if size < 0 or position > len(mapped):
            raise CheckpointError("the file is cut off, or a storage has a wrong size")

    def numbers(storage: Storage) -> np.ndarray:
        if storage.key not in starts or starts[storage.key][1] != storage.size:
            raise CheckpointError(f"storage {storage.key[:40]!r} is missing or of another size")
        return view(mapped, storage.dtype, (storage.size,), starts[storage.key][0])

    return _state_dict(content, numbers, which, len(mapped))


def _state_dict(
    content: Any, numbers: Callable[[Storage], np.ndarray], which: str | None, size: int
) -> StateDict:
    """The arrays of a file of `size` bytes; each storage is read once."""
    parts = _parts(content)
    start = _among(content, parts) if which == EMA else None
    part = _chosen(content, parts, None if start else which)
    others = [name for name in parts if name != part]
    tensors = _checked(content if part is None else content[part], others, size)
    if start:
        tensors = {key: tensor for key, tensor in tensors.items() if key.startswith(start)}
    read = functools.cache(numbers)
    arrays = {key: _array(key, tensor, read(tensor.storage)) for key, tensor in tensors.items()}
    beside = {} if part is None else content
    return StateDict(
        arrays, part, others, trainers.written_by(beside), trainers.class_names(beside)
    )


def _among(content: Any, parts: list[str]) -> str | None:
    """What the keys of averaged weights begin with, where these are no state dict of their own."""
    part = None if any(name in parts for name in AVERAGED) else _chosen(content, parts, None)
    state = content if part is None else content[part]
    keys = [key for key in state if isinstance(key, str)] if isinstance(state, dict) else []
    return next((start for start in AMONG if any(key.startswith(start) for key in keys)), None)


def _chosen(content: Any, parts: list[str], which: str | None) -> str | None:
    """Name of the state dict that is read; None: the content is one."""
    if which is None:
        # One that holds more than tensors comes last; what it holds is told by `_checked`.
        known = sorted(WRAPPERS, key=lambda name: name not in parts)
        found = content if isinstance(content, dict) else {}
        return next((name for name in known if isinstance(found.get(name), dict)), None)
    has = f"has {some(parts)}" if parts else "is of one piece"
    if which in parts:
        return which
    if which == EMA:
        averaged = next((name for name in AVERAGED if name in parts), None)
        if averaged is None:
            raise CheckpointError(f"there are no averaged weights in the file, which {has}")
        return averaged
    raise CheckpointError(f"there is no state dict {which[:80]!r} in the file, which {has}")


def some(names: list[str]) -> str:
    """As many of the names in a file as a reader wants."""
    return ", ".join(name[:40] for name in names[:8])


def _parts(content: Any) -> list[str]:
    """Names of the state dicts in what a file holds."""
    found = []
    for name, value in content.items() if isinstance(content, dict) else ():
        inner = list(value.values()) if isinstance(value, dict) else []
        if isinstance(name, str) and inner and all(isinstance(one, Tensor) for one in inner):
            found.append(name)
    return found


def _checked(content: Any, others: list[str], size: int) -> Mapping[str, Tensor]:
    """The content, if it is a state dict whose tensors are no more than a file can have."""
    if isinstance(content, Opaque):
        raise CheckpointError(
            f"the file holds an object of {content.name[:80]!r}, not a state dict, and no object "
            f"is made. {OF_A_MODULE}"
        )
    if not isinstance(content, dict) or not content:
        held = "an empty dict" if content == {} else f"a {type(content).__name__}"
        raise CheckpointError(f"the file holds {held}, not a state dict")
    wrong = {
        key if isinstance(key, str) else f"a key of type {type(key).__name__}": value
        for key, value in content.items()
        if not isinstance(value, Tensor) or not isinstance(key, str)
    }
    if wrong:
        modules = [name for name in WRAPPERS if isinstance(wrong.get(name), Opaque)]
        if modules:
            raise CheckpointError(
                f"{modules[0]!r} in the file is an object of {wrong[modules[0]].name[:80]!r}, not "
                f"a state dict, and no object is made. {OF_A_MODULE}"
            )
        hint = f"; `which` (--which) may name {some(others)}" if others else ""
        raise CheckpointError(
            f"these are not tensors: {some(list(wrong))}; a state dict is read plain, or "
            f"under one of {', '.join(WRAPPERS)}{hint}"
        )
    counts = (_count(key, tensor) for key, tensor in content.items())
    itemsizes = (numpy_dtype(tensor.storage.dtype).itemsize for tensor in content.values())
    check_total(sum(map(operator.mul, counts, itemsizes)), size)
    return content


def _count(key: str, tensor: Tensor) -> int:
    """How many numbers a tensor has; never more than its storage."""
    shape, strides, offset = tensor.shape, tensor.strides, tensor.offset
    ok = len(shape) == len(strides) <= MAX_RANK and all(
        0 <= n <= sys.maxsize for n in (*shape, *strides, offset)
    )
    count = math.prod(shape) if ok else 0
    last = sum((n - 1) * step for n, step in zip(shape, strides, strict=False)) if ok else 0
    if count > tensor.storage.size > offset + last:
        raise CheckpointError(
            f"{key[:80]!r} is expanded: {count:,} numbers of a storage of {tensor.storage.size:,}; "
            "save its `.contiguous()`"
        )
    if not 0 < count <= tensor.storage.size or offset + last >= tensor.storage.size:
        raise CheckpointError(
            f"{key[:80]!r} is not inside its storage: offset {offset}, shape "
            f"{str(shape[:MAX_RANK])[:60]}, strides {str(strides[:MAX_RANK])[:60]}, "
            f"{tensor.storage.size} numbers"
        )
    return count


def _array(key: str, tensor: Tensor, numbers: np.ndarray) -> np.ndarray:
    """The view that a tensor, which `_count` has checked, is of its storage."""
    return np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :],
        tensor.shape,
        tuple(step * numbers.itemsize for step in tensor.strides),
        writeable=False,
    )
