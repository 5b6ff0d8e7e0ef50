"""Writes checkpoint files. Only `.pth` needs torch."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from keras_pvt.conversion.description import KEY, Checkpoint, described, is_names
from keras_pvt.conversion.readers import numpy_dtype
from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.files import replacing


def cast(state: Mapping[str, np.ndarray], dtype: str) -> Checkpoint:
    """Convert the arrays of a state dict to another floating dtype; integers stay.

    Args:
        state: key to array.
        dtype: "float16", "bfloat16", "float32" or "float64".
    Returns:
        A new state dict, with the description of the old one.
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
    return Checkpoint(narrow, described(state))


def save_checkpoint(
    state: Mapping[str, np.ndarray],
    path: str | os.PathLike,
    classes: Sequence[str] | None = None,
) -> None:
    """Write a state dict; the suffix says how: `.safetensors`, `.npz`, `.pth`, or `.h5`.

    The last is for the "kecam" layout alone, in the format of Keras 2. The file appears whole or
    not at all. A `.safetensors` file also holds how the model was built, as `to_torch` tells it,
    and the names of its classes; the others hold arrays alone.

    Args:
        state: arrays by name, as `to_torch` gives them.
        path: to write to; a file there is replaced.
        classes: names of what the model tells apart, in the order of its outputs.
    Raises:
        ValueError: another suffix; an array of objects; bfloat16 in a `.npz`, which numpy cannot
            name, or in an `.h5`; another layout in an `.h5`; names of classes that are no different
            words, or for what does not hold them.
        ImportError: `.pth` without torch.
        OSError: a folder that cannot be written.
    """
    path = pathlib.Path(path)
    if path.suffix not in _WRITERS or path.name.endswith(".weights.h5"):
        raise ValueError(
            f"{path}: the suffix must be one of {', '.join(_WRITERS)} to say how to write."
        )
    objects = [key for key, array in state.items() if array.dtype.hasobject]
    if objects:
        raise ValueError(
            f"{', '.join(objects)[:80]}: objects of Python, where numbers are written."
        )
    if classes is not None:
        state = _with_classes(state, path, tuple(classes))
    with replacing(path) as temporary:
        _WRITERS[path.suffix](state, temporary)


def _with_classes(
    state: Mapping[str, np.ndarray], path: pathlib.Path, classes: tuple[str, ...]
) -> Checkpoint:
    description = described(state)
    if description is None or path.suffix != ".safetensors":
        raise ValueError(
            f"{path}: names of classes go into a .safetensors file, beside the description that "
            "`to_torch` gives."
        )
    if not is_names(classes):
        raise ValueError(f"`classes` must be different names; got {', '.join(map(repr, classes))}.")
    return Checkpoint(state, dataclasses.replace(description, classes=classes))


def _write_safetensors(state: Mapping[str, np.ndarray], path: pathlib.Path) -> None:
    from safetensors.numpy import save

    arrays = {key: np.asarray(array, order="C") for key, array in state.items()}
    # Transformers wants this word. (`save_file` makes a file that only its owner can read.)
    metadata, description = {"format": "pt"}, described(state)
    if description is not None:
        metadata[KEY] = description.text()
    path.write_bytes(save(arrays, metadata=metadata))


def _write_npz(state: Mapping[str, np.ndarray], path: pathlib.Path) -> None:
    if any(array.dtype.name == "bfloat16" for array in state.values()):
        raise ValueError("a .npz file cannot hold bfloat16; write .safetensors, or another dtype.")
    # Without `allow_pickle=False`, which NumPy 2.0 takes for one array more: see `save_checkpoint`.
    np.savez(path, **state)  # type: ignore[arg-type]


def _write_pth(state: Mapping[str, np.ndarray], path: pathlib.Path) -> None:
    with needed_for("writing .pth, instead of .safetensors,", "torch"):
        import torch

    def tensor(array: np.ndarray):
        array = np.array(array)  # torch wants its own, writable
        if array.dtype.name == "bfloat16":
            return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
        return torch.from_numpy(array)

    torch.save({key: tensor(array) for key, array in state.items()}, path)


def _write_h5(state: Mapping[str, np.ndarray], path: pathlib.Path) -> None:
    import h5py

    layers: dict[str, list[str]] = {}
    for key, array in state.items():
        layer, _, number = key.partition("/")
        if number != str(len(layers.setdefault(layer, []))):
            raise ValueError(f"an .h5 file is of the kecam layout; {key!r} is no name there.")
        if array.dtype.name == "bfloat16":
            raise ValueError("an .h5 file cannot hold bfloat16; write another dtype.")
        layers[layer].append(key)
    with h5py.File(path, "w") as file:
        # By which Keras 2 knows that kernels lie as it has them.
        file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", "tensorflow"
        file.attrs["layer_names"] = np.array(list(layers), "S")
        for layer, keys in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = np.array(keys, "S")
            for key in keys:
                group[key] = state[key]


_WRITERS = {
    ".safetensors": _write_safetensors,
    ".npz": _write_npz,
    ".pth": _write_pth,
    ".h5": _write_h5,
}
