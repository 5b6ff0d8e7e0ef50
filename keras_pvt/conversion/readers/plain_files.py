"""Reads files of plain arrays: `.safetensors` and `.npz`."""

import json
import mmap
from typing import Any

import numpy as np

from keras_pvt.conversion.description import KEY, Checkpoint, Description, Origin, unique
from keras_pvt.conversion.readers.mapped import Archive, CheckpointError, view
from keras_pvt.conversion.readers.shards import Shards

MAX_HEADER = 16 * 1024**2
METADATA = "__metadata__"

_SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}


def is_safetensors(mapped: mmap.mmap) -> bool:
    return mapped[8:9] == b"{"


def read_safetensors(mapped: mmap.mmap) -> Checkpoint:
    """Arrays of a `.safetensors` file, as views: the safetensors library would copy each, and
    knows no bfloat16 for numpy. With the description in its metadata, if it is one of ours.

    Raises:
        CheckpointError: a damaged header; arrays that overlap, leave holes, or do not fit; a
            description that cannot be.
    """
    length = int.from_bytes(mapped[:8], "little")
    if length > min(MAX_HEADER, len(mapped) - 8):
        raise CheckpointError("the safetensors header is cut off, or far too long")
    try:
        header = json.loads(mapped[8 : 8 + length], object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"the safetensors header is damaged: {error}") from error
    if not isinstance(header, dict):
        raise CheckpointError("the safetensors header is no table of arrays")
    metadata = header.pop(METADATA, {})
    of_model = _description(metadata)
    writer = None if of_model is None else "keras_pvt"
    data = memoryview(mapped)[8 + length :]
    arrays, spans = {}, []
    for key, description in header.items():
        start, end, dtype, shape = _described_array(key, description)
        array = view(data, dtype, shape, start)
        if array.nbytes != end - start:
            raise CheckpointError(f"{key[:80]!r} has {end - start} bytes, not {array.nbytes}")
        spans.append((start, end))
        arrays[key] = array
    position = 0
    for start, end in sorted(spans):
        if start != position:
            raise CheckpointError("the safetensors arrays overlap, or leave holes")
        position = end
    if position != len(data):
        raise CheckpointError(f"the safetensors data has {len(data)} bytes, not {position}")
    return Checkpoint(arrays, of_model, origin=Origin(".safetensors file", writer))


def read_safetensors_shards(shards: Shards) -> Checkpoint:
    """Arrays of the `.safetensors` files that a list names, see `read_safetensors`.

    Raises:
        CheckpointError: arrays that are not where the list has them, or not in it.
    """
    arrays: dict[str, np.ndarray] = {}
    said: list[Description] = []
    for name, (_, mapped) in shards.files.items():
        part = read_safetensors(mapped)
        for key in part:
            if shards.weight_map.get(key) != name:
                raise CheckpointError(f"the list of shards does not have {key[:80]!r} in {name!r}")
        arrays |= part
        said += [part.description] if part.description is not None else []
    missing = [key for key in shards.weight_map if key not in arrays]
    if missing:
        raise CheckpointError(f"{len(missing)} arrays of the list are in no shard: {missing[0]!r}")
    kind = f"list of {len(shards.files)} .safetensors files"
    return Checkpoint(arrays, said[0] if said else None, origin=Origin(kind))


def _description(metadata: Any) -> Description | None:
    text = metadata.get(KEY) if isinstance(metadata, dict) else ""
    if isinstance(text, str) and text.startswith('{"epoch": '):  # of keras_pvt.training
        raise CheckpointError(
            "it is what a training run goes on from, with the state of its optimizer; the model is "
            "model.keras in the folder of the run, once that is over"
        )
    try:
        return None if text is None else Description.from_text(text)
    except ValueError as error:
        raise CheckpointError(f"the configuration in its metadata is damaged: {error}") from error


def _described_array(key: str, description: Any) -> tuple[int, int, str, tuple[int, ...]]:
    try:
        dtype, shape, (start, end) = (
            description["dtype"],
            tuple(description["shape"]),
            description["data_offsets"],
        )
    except (KeyError, TypeError, ValueError):
        raise CheckpointError(f"the safetensors header describes {key[:80]!r} wrongly") from None
    if not isinstance(dtype, str) or dtype not in _SAFETENSORS_DTYPES:
        raise CheckpointError(f"{key[:80]!r} has the unknown dtype {str(dtype)[:40]!r}")
    if any(type(n) is not int for n in (start, end)) or not 0 <= start <= end:
        raise CheckpointError(f"the safetensors header places {key[:80]!r} wrongly")
    return start, end, _SAFETENSORS_DTYPES[dtype], shape


def read_npz(archive: Archive) -> dict[str, np.ndarray]:
    """Arrays of a `.npz` file, as views where they are stored uncompressed.

    Raises:
        CheckpointError: objects instead of numbers; damaged members.
    """
    return {
        name.removesuffix(".npy"): _read_npy(name, archive.read(name)) for name in archive.names
    }


def _read_npy(name: str, data: memoryview) -> np.ndarray:
    import io

    head = io.BytesIO(data[:65536])
    try:
        version = np.lib.format.read_magic(head)
        if version != (1, 0):
            raise ValueError(f"version {version}")
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(head)
    except Exception as error:  # numpy evaluates the header as a literal, which fails variously
        raise CheckpointError(f"{name[:80]!r} has a damaged header: {error}") from error
    if dtype.kind not in "fiub" or not dtype.isnative:
        raise CheckpointError(f"{name[:80]!r} has the dtype {dtype}, not plain numbers")
    if by_columns:
        return view(data, dtype.name, shape[::-1], head.tell()).T
    return view(data, dtype.name, shape, head.tell())
