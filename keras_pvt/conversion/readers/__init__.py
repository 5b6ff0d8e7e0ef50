"""Reads checkpoint files of every kind; no library of theirs is needed."""

import logging
import mmap
import os
import pathlib

from keras_pvt.conversion import beside
from keras_pvt.conversion.description import Checkpoint, Origin
from keras_pvt.conversion.readers import (
    keras_config,
    keras_files,
    plain_files,
    shards,
    torch_files,
    trained_file,
)
from keras_pvt.conversion.readers.mapped import (
    LOCAL_HEADER,
    Archive,
    CheckpointError,
    map_file,
    numpy_dtype,
)

# What a clone has in place of a file where Git LFS is not installed.
LFS_POINTER = b"version https://"

__all__ = [
    "CheckpointError",
    "numpy_dtype",
    "open_checkpoint",
    "pointing_to_info",
    "read_checkpoint",
]


def read_checkpoint(path: str | os.PathLike, which: str | None = None) -> Checkpoint:
    """Arrays of a checkpoint, by the names that the file has for them.

    The content tells the kind, not the suffix: torch's `.pth` (zip, or before torch 1.6),
    `.safetensors`, `.npz`, and Keras's `.weights.h5`, `.keras`, and `.h5` of Keras 2; and the lists
    of shards, `.safetensors.index.json` and `.weights.json`, whose files lie beside them. No pickle
    is run and torch is not needed.

    Args:
        path: of a local file; or of a folder with one list of shards, or `model.safetensors`,
            `pytorch_model.bin`, `model.weights.h5` or `model.keras`.
        which: of the state dicts in a torch file: "ema" for the averaged weights, whatever the
            trainer calls them ("state_dict_ema", "model_ema", "ema_state_dict"), or a name in the
            file, such as "model". By default the averaged weights, else "state_dict" or "model",
            else the file is one state dict. Where others are left, a warning of logger
            "keras_pvt" names them.
    Returns:
        Read-only arrays, most of them views of the mapped file, which must stay as it is while
        they are in use. With the model's description, where a `.safetensors` file of ours has it;
        of one of our models in a `.keras` file with what no shape of its weights tells; and with
        names of classes, where the file has them, or transformers' or timm's configuration beside
        it; where images were prepared otherwise than here, a warning of logger "keras_pvt" says so.
        Values are not looked at: they may be infinite or NaN.
    Raises:
        CheckpointError: a file of no such kind, or a damaged or hostile one; no such state dict.
        OSError: a file that cannot be opened; a folder without such a file.
    """
    try:
        checkpoint = open_checkpoint(path, which)
    except CheckpointError as error:
        raise CheckpointError(pointing_to_info(str(error))) from error
    origin = checkpoint.origin
    if origin is not None and origin.others and which is None:
        logging.getLogger("keras_pvt").warning(
            "%s: %s is read, and not %s; `which` (--which) names another",
            *(checkpoint.source, origin.part, torch_files.some(list(origin.others))),
        )
    return checkpoint


def open_checkpoint(path: str | os.PathLike, which: str | None = None) -> Checkpoint:
    """The same, for who says himself what else is in the file.

    Args:
        path: see `read_checkpoint`.
        which: see `read_checkpoint`.
    """
    path = pathlib.Path(path)
    if os.fspath(path).startswith("hf:/"):
        raise FileNotFoundError(
            f"{os.fspath(path)!r} is no file: `weights=` of a constructor takes a name on a hub, "
            "and so does `keras-pvt convert`."
        )
    if path.is_dir():
        path = shards.file_in(path)
    try:
        checkpoint = _read(map_file(path), path, which)
        if not checkpoint:
            raise CheckpointError("the file holds no arrays")
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}.") from error
    checkpoint.source = os.fspath(path)
    _look_beside(path, checkpoint)
    return checkpoint


def _look_beside(path: pathlib.Path, checkpoint: Checkpoint) -> None:
    """Add what the files beside a checkpoint say of it."""
    found = beside.read_beside(path)
    checkpoint.beside = found.classes
    if checkpoint.description is None:
        checkpoint.description = found.description
    if found.differences:
        logging.getLogger("keras_pvt").warning(
            "%s: images were prepared for these weights otherwise than by `preprocess_input` and "
            "`eval_transform`: %s",
            *(path, "; ".join(found.differences)),
        )


def pointing_to_info(error: str) -> str:
    """What is said of a file that does not load, with what tells more about it."""
    pointer = "`keras-pvt info FILE` says what a file is"
    return f"{error}\n  {pointer}" if "\n" in error else f"{error.rstrip()} ({pointer})"


def _read(mapped: mmap.mmap, path: pathlib.Path, which: str | None) -> Checkpoint:
    start = mapped[:16]
    archive = Archive(mapped) if start.startswith(LOCAL_HEADER) else None
    ends = [] if archive is None else [name.rsplit("/", 1)[-1] for name in archive.names]
    if archive is not None and ends.count("data.pkl") == 1:
        return _of_torch(torch_files.read_zip(archive, which), "torch file (zip)")
    if start.startswith(torch_files.LEGACY_START):
        return _of_torch(torch_files.read_legacy(mapped, which), "torch file (before 1.6)")
    if which is not None:
        raise CheckpointError(
            f"only torch's files have several state dicts; got which={which[:80]!r}"
        )
    if archive is not None:
        if keras_files.WEIGHTS_MEMBER in archive.names:
            return _of_keras(archive)
        if ends and all(name.endswith(".npy") for name in ends):
            return Checkpoint(plain_files.read_npz(archive), origin=Origin(".npz file", "NumPy"))
        raise CheckpointError("the zip file is none of torch, Keras or numpy")
    if start.startswith(keras_files.HDF5_MAGIC):
        return keras_files.read_h5(mapped, path)
    if plain_files.is_safetensors(mapped):
        return plain_files.read_safetensors(mapped)
    if start.startswith(b"{"):
        found_shards = shards.read_list(mapped, path)
        if found_shards.suffix == shards.KERAS:
            return keras_files.read_shards(found_shards)
        return plain_files.read_safetensors_shards(found_shards)
    if start.startswith(LFS_POINTER):
        raise CheckpointError(
            "a pointer of Git LFS, and not the file itself: `git lfs pull` in its clone gets that"
        )
    raise CheckpointError(
        f"not a checkpoint: it begins with {start!r}; .pth, .safetensors, .npz, .weights.h5, "
        ".h5 and .keras files are read, and lists of shards"
    )


def _of_torch(found: torch_files.StateDict, kind: str) -> Checkpoint:
    origin = Origin(kind, found.writer, found.part, tuple(found.others))
    return Checkpoint(found.arrays, classes=found.classes, origin=origin)


def _of_keras(archive: Archive) -> Checkpoint:
    """What is in a `.keras` file, with what `save_model` notes of the whole model."""
    facts, member = None, trained_file.member_of(archive.names)
    if member is not None:
        try:
            facts = trained_file.read_facts(member, bytes(archive.read(member)))
        except (KeyError, TypeError, RecursionError) as error:
            raise CheckpointError(f"its {member} is damaged: {error!r}"[:300]) from error
    version = keras_config.read_version(archive)
    return Checkpoint(
        keras_files.read_keras(archive),
        keras_config.read_description(archive),
        None if facts is None else facts["classes"],
        Origin(".keras file", f"Keras {version}" if version else "Keras", model=facts),
    )
