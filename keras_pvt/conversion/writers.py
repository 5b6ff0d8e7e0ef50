"""Writes checkpoint files. Only `.pth` needs torch."""

import os
import pathlib

import numpy as np

from keras_pvt.conversion.readers import numpy_dtype
from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.files import replacing


def cast(state: dict[str, np.ndarray], dtype: str) -> dict[str, np.ndarray]:
    """Convert the arrays of a state dict to another floating dtype; integers stay.

    Args:
        state: key to array.
        dtype: "float16", "bfloat16", "float32" or "float64".
    Returns:
        A new state dict.
    Raises:
        ValueError: a value too large for it.
    """
    kind = numpy_dtype(dtype)
    with np.errstate(over="ignore"):
        narrow = {
            key: array if array.dtype.kind in "iu" else array.astype(kind)
            for key, array in state.items()
        }
    for key, array in narrow.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{key!r} has values too large for {dtype}; choose a wider dtype.")
    return narrow


def save_checkpoint(state: dict[str, np.ndarray], path: str | os.PathLike) -> None:
    """Write a state dict; the suffix says how: `.safetensors`, `.npz`, or `.pth`.

    The file appears whole or not at all.

    Args:
        state: arrays by name, as `to_torch` gives them.
        path: to write to; a file there is replaced.
    Raises:
        ValueError: another suffix; bfloat16 in a `.npz`, which numpy cannot name.
        ImportError: `.pth` without torch.
        OSError: a folder that cannot be written.
    """
    path = pathlib.Path(path)
    if path.suffix not in _WRITERS:
        raise ValueError(
            f"{path}: the suffix must be one of {', '.join(_WRITERS)} to say how to write."
        )
    with replacing(path) as temporary:
        _WRITERS[path.suffix](state, temporary)


def _write_safetensors(state: dict[str, np.ndarray], path: pathlib.Path) -> None:
    from safetensors.numpy import save

    state = {key: np.asarray(array, order="C") for key, array in state.items()}
    # Transformers wants this word. (`save_file` makes a file that only its owner can read.)
    path.write_bytes(save(state, metadata={"format": "pt"}))


def _write_npz(state: dict[str, np.ndarray], path: pathlib.Path) -> None:
    if any(array.dtype.name == "bfloat16" for array in state.values()):
        raise ValueError("a .npz file cannot hold bfloat16; write .safetensors, or another dtype.")
    np.savez(path, allow_pickle=False, **state)


def _write_pth(state: dict[str, np.ndarray], path: pathlib.Path) -> None:
    with needed_for("writing .pth, instead of .safetensors,", "torch"):
        import torch

    def tensor(array: np.ndarray):
        array = np.array(array)  # torch wants its own, writable
        if array.dtype.name == "bfloat16":
            return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
        return torch.from_numpy(array)

    torch.save({key: tensor(array) for key, array in state.items()}, path)


_WRITERS = {".safetensors": _write_safetensors, ".npz": _write_npz, ".pth": _write_pth}
