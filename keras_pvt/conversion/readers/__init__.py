"""Reads checkpoint files of every kind; no library of theirs is needed."""

import mmap
import os
import pathlib

import numpy as np

from keras_pvt.conversion.readers import keras_files, plain_files, torch_files
from keras_pvt.conversion.readers.mapped import (
    LOCAL_HEADER,
    Archive,
    CheckpointError,
    map_file,
    numpy_dtype,
)

__all__ = ["CheckpointError", "numpy_dtype", "read_checkpoint"]


def read_checkpoint(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Arrays of a checkpoint, by the names that the file has for them.

    The content tells the kind, not the suffix: torch's `.pth` (zip, or before torch 1.6; a
    plain state dict, or one under "state_dict_ema", "state_dict" or "model"), `.safetensors`,
    `.npz`, and Keras's `.weights.h5` and `.keras`. No pickle is run and torch is not needed.

    Args:
        path: of a local file.
    Returns:
        Read-only arrays, most of them views of the mapped file, which must stay as it is while
        they are in use. Values are not looked at: they may be infinite or NaN.
    Raises:
        CheckpointError: a file of no such kind, or a damaged or hostile one.
        OSError: a file that cannot be opened.
    """
    path = pathlib.Path(path)
    try:
        mapped = map_file(path)
        arrays = _read(mapped, path)
        if not arrays:
            raise CheckpointError("the file holds no arrays")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}.") from error
    return arrays


def _read(mapped: mmap.mmap, path: pathlib.Path) -> dict[str, np.ndarray]:
    start = mapped[:16]
    if start.startswith(LOCAL_HEADER):
        archive = Archive(mapped)
        ends = [name.rsplit("/", 1)[-1] for name in archive.names]
        if ends.count("data.pkl") == 1:
            return torch_files.read_zip(archive)
        if keras_files.WEIGHTS_MEMBER in archive.names:
            return keras_files.read_keras(archive)
        if ends and all(name.endswith(".npy") for name in ends):
            return plain_files.read_npz(archive)
        raise CheckpointError("the zip file is none of torch, Keras or numpy")
    if start.startswith(keras_files.HDF5_MAGIC):
        return keras_files.read_h5(mapped, path)
    if start.startswith(torch_files.LEGACY_START):
        return torch_files.read_legacy(mapped)
    if plain_files.is_safetensors(mapped):
        return plain_files.read_safetensors(mapped)
    raise CheckpointError(
        f"not a checkpoint: it begins with {start!r}; .pth, .safetensors, .npz, .weights.h5 and "
        ".keras files are read"
    )
