"""Reads what `torch.save` writes, without torch: zip files, and the format before 1.6."""

import math
import mmap
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_pvt.conversion.readers.mapped import (
    MAX_RANK,
    Archive,
    CheckpointError,
    numpy_dtype,
    view,
)
from keras_pvt.conversion.readers.unpickle import Storage, Tensor, read_pickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_START = b"\x80\x02\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little")

# Where trainers put the state dict; the averaged weights first, as they are the better ones.
WRAPPERS = ("state_dict_ema", "state_dict", "model")


def read_zip(archive: Archive) -> dict[str, np.ndarray]:
    """State dict of a zip file of torch 1.6 or later.

    Raises:
        CheckpointError: see `read_pickle`; storages that are missing or of wrong sizes.
    """
    (pickle_name,) = (name for name in archive.names if name.rsplit("/", 1)[-1] == "data.pkl")
    folder = pickle_name.removesuffix("data.pkl")
    order = f"{folder}byteorder"
    if order in archive.names and bytes(archive.read(order)) != b"little":
        raise CheckpointError("the numbers are big-endian; save them on a little-endian machine")
    content, _ = read_pickle(bytes(archive.read(pickle_name)))

    def numbers(storage: Storage) -> np.ndarray:
        data = archive.read(f"{folder}data/{storage.key}")
        if len(data) != storage.size * numpy_dtype(storage.dtype).itemsize:
            raise CheckpointError(
                f"storage {storage.key!r} has {len(data)} bytes, not {storage.size} numbers "
                f"of {storage.dtype}"
            )
        return view(data, storage.dtype, (storage.size,))

    return _arrays(content, numbers)


def read_legacy(mapped: mmap.mmap) -> dict[str, np.ndarray]:
    """State dict of a file of torch before 1.6.

    Five pickles (a magic number, the version, facts of the machine, the content, the keys of
    the storages), then for each key the number of its numbers, in 8 bytes, and these.

    Raises:
        CheckpointError: see `read_pickle`; storages that are missing or of wrong sizes.
    """
    position, parts = 0, []
    for _ in range(5):
        part, position = read_pickle(mapped, position)
        parts.append(part)
    _, version, machine, content, keys = parts
    if version != 1001 or not isinstance(machine, dict) or not isinstance(keys, list):
        raise CheckpointError("the legacy torch file is of an unknown version")
    if machine.get("little_endian") is not True:
        raise CheckpointError("the numbers are big-endian; save them on a little-endian machine")
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in _tensors(content)}
    starts: dict[str, tuple[int, int]] = {}
    for key in keys:
        if not isinstance(key, str) or key in starts or key not in dtypes:
            raise CheckpointError(f"the legacy torch file lists storage {str(key)[:40]!r} wrongly")
        size = int(view(mapped, "int64", (1,), position)[0])
        starts[key] = position + 8, size
        position += 8 + size * numpy_dtype(dtypes[key]).itemsize
        if size < 0 or position > len(mapped):
            raise CheckpointError("the file is cut off, or a storage has a wrong size")

    def numbers(storage: Storage) -> np.ndarray:
        if storage.key not in starts or starts[storage.key][1] != storage.size:
            raise CheckpointError(f"storage {storage.key[:40]!r} is missing or of another size")
        return view(mapped, storage.dtype, (storage.size,), starts[storage.key][0])

    return _arrays(content, numbers)


def _tensors(content: Any) -> list[Tensor]:
    """Every tensor, however deep: storages of an optimiser lie between those of weights."""
    found, seen, todo = [], set(), [content]
    while todo:
        value = todo.pop()
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            todo += value.values() if isinstance(value, dict) else value
    return found


def _arrays(content: Any, numbers: Callable[[Storage], np.ndarray]) -> dict[str, np.ndarray]:
    if isinstance(content, dict):
        for name in WRAPPERS:
            if isinstance(content.get(name), dict):
                content = content[name]
                break
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"the file holds a {type(content).__name__}, not a state dict")
    others = [str(key) for key, value in content.items() if not isinstance(value, Tensor)]
    if others or not all(isinstance(key, str) for key in content):
        raise CheckpointError(
            f"these are not tensors: {', '.join(others[:8])}; a state dict is read plain, or "
            f"under one of {', '.join(WRAPPERS)}"
        )
    return {key: _array(key, tensor, numbers(tensor.storage)) for key, tensor in content.items()}


def _array(key: str, tensor: Tensor, numbers: np.ndarray) -> np.ndarray:
    """The view that a tensor is of its storage; never more numbers than the storage has."""
    shape, strides, count = tensor.shape, tensor.strides, math.prod(tensor.shape)
    ok = (
        len(shape) == len(strides) <= MAX_RANK
        and all(0 <= n <= sys.maxsize for n in (*shape, *strides, tensor.offset))
        and 0 < count <= numbers.size
    )
    last = sum((n - 1) * step for n, step in zip(shape, strides, strict=False))
    if not ok or tensor.offset + last >= numbers.size:
        raise CheckpointError(
            f"{key[:80]!r} is not inside its storage: offset {tensor.offset}, shape "
            f"{str(shape)[:60]}, strides {str(strides)[:60]}, {numbers.size} numbers"
        )
    return np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :],
        shape,
        tuple(step * numbers.itemsize for step in strides),
        writeable=False,
    )
