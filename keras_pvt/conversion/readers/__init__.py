"""Reads checkpoint files of every kind; no library of theirs is needed."""

import logging
import mmap
import os
import pathlib

from keras_pvt.conversion import beside
from keras_pvt.conversion.description import Checkpoint
from keras_pvt.conversion.readers import keras_config, keras_files, plain_files, torch_files
from keras_pvt.conversion.readers.mapped import (
    LOCAL_HEADER,
    Archive,
    CheckpointError,
    map_file,
    numpy_dtype,
)

__all__ = ["CheckpointError", "numpy_dtype", "read_checkpoint"]


def read_checkpoint(path: str | os.PathLike, part: str | None = None) -> Checkpoint:
    """Arrays of a checkpoint, by the names that the file has for them.

    The content tells the kind, not the suffix: torch's `.pth` (zip, or before torch 1.6),
    `.safetensors`, `.npz`, and Keras's `.weights.h5`, `.weights.json` with its shards beside it,
    `.keras`, and `.h5` of Keras 2. No pickle is run and torch is not needed.

    Args:
        path: of a local file.
        part: name of the state dict in a torch file that has several, such as "model_ema". By
            default the averaged weights: "state_dict_ema" or "model_ema", else "state_dict" or
            "model", else the file is one state dict. Where others are left, a warning of logger
            "keras_pvt" names them.
    Returns:
        Read-only arrays, most of them views of the mapped file, which must stay as it is while
        they are in use. With the model's description, where a `.safetensors` file of ours has it;
        of one of our models in a `.keras` file with what no shape of its weights tells. With the
        names of classes that transformers' or timm's configuration beside the file has; where
        images were prepared otherwise than here, a warning of logger "keras_pvt" says so. Values
        are not looked at: they may be infinite or NaN.
    Raises:
        CheckpointError: a file of no such kind, or a damaged or hostile one; no such part.
        OSError: a file that cannot be opened.
    """
    path = pathlib.Path(path)
    try:
        mapped = map_file(path)
        arrays = _read(mapped, path, part)
        if not arrays:
            raise CheckpointError("the file holds no arrays")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}.") from error
    arrays.source = os.fspath(path)
    _look_beside(path, arrays)
    return arrays


def _look_beside(path: pathlib.Path, arrays: Checkpoint) -> None:
    """Add what the files beside a checkpoint say of it."""
    found = beside.read_beside(path)
    arrays.beside = found.classes
    if arrays.description is None:
        arrays.description = found.description
    if found.differences:
        logging.getLogger("keras_pvt").warning(
            "%s: images were prepared for these weights otherwise than by `preprocess_input` and "
            "`eval_transform`: %s",
            *(path, "; ".join(found.differences)),
        )


def _read(mapped: mmap.mmap, path: pathlib.Path, part: str | None) -> Checkpoint:
    start = mapped[:16]
    archive = Archive(mapped) if start.startswith(LOCAL_HEADER) else None
    ends = [] if archive is None else [name.rsplit("/", 1)[-1] for name in archive.names]
    found = None
    if archive is not None and ends.count("data.pkl") == 1:
        found = torch_files.read_zip(archive, part)
    elif start.startswith(torch_files.LEGACY_START):
        found = torch_files.read_legacy(mapped, part)
    if found is not None:
        if found.others and part is None:
            logging.getLogger("keras_pvt").warning(
                "%s: %s is read, and not %s; `part` (--part) names another",
                *(path, found.part, torch_files.some(found.others)),
            )
        return Checkpoint(found.arrays)
    if part is not None:
        raise CheckpointError(f"only torch's files have parts; got part {part[:80]!r}")
    if archive is not None:
        if keras_files.WEIGHTS_MEMBER in archive.names:
            description = keras_config.read_description(archive)
            return Checkpoint(keras_files.read_keras(archive), description)
        if ends and all(name.endswith(".npy") for name in ends):
            return Checkpoint(plain_files.read_npz(archive))
        raise CheckpointError("the zip file is none of torch, Keras or numpy")
    if start.startswith(keras_files.HDF5_MAGIC):
        return Checkpoint(keras_files.read_h5(mapped, path))
    if plain_files.is_safetensors(mapped):
        return plain_files.read_safetensors(mapped)
    if start.startswith(b"{"):
        return Checkpoint(keras_files.read_shards(mapped, path))
    raise CheckpointError(
        f"not a checkpoint: it begins with {start!r}; .pth, .safetensors, .npz, .weights.h5, "
        ".weights.json and .keras files are read"
    )
