"""Reads Keras weight files, `.weights.h5` and the one in `.keras`, without building a model."""

import io
import mmap
import pathlib

import numpy as np

from keras_pvt.conversion.readers.mapped import Archive, CheckpointError, view
from keras_pvt.conversion.readers.quantized import plain_layers

WEIGHTS_MEMBER = "model.weights.h5"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_OBJECTS = 100_000
MAX_DEPTH = 8
# Groups of a model that hold no weights of layers.
NO_LAYERS = ("vars", "optimizer")


def read_h5(mapped: mmap.mmap, path: pathlib.Path) -> dict[str, np.ndarray]:
    """Variables of a `.weights.h5` file, see `_read`."""
    return _read(str(path), memoryview(mapped))


def read_keras(archive: Archive) -> dict[str, np.ndarray]:
    """Variables of the weights in a `.keras` file, see `_read`."""
    data = archive.read(WEIGHTS_MEMBER)
    return _read(io.BytesIO(data), data)


def _read(file, data: memoryview) -> dict[str, np.ndarray]:
    """Variables as views of `data`, named by their layers' names and own numbers:
    "stage1_block0/attention/query/0".

    Keras files a layer under its class and a counter, and notes its name beside it; names
    do not depend on which other layers the model has. Quantized kernels are as `plain_layers`
    makes them.

    Raises:
        CheckpointError: a damaged file; links to elsewhere; compressed variables.
    """
    import h5py

    try:
        with h5py.File(file, "r") as root:
            reader = _Reader(data)
            # Layers of the graph, and those that a model has beside them, as attributes.
            for key in root:
                if key not in NO_LAYERS:
                    reader.walk(_group(root, key), _layer_names(root, key))
            return plain_layers(reader.arrays)
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"the HDF5 file is damaged: {error}") from error


def _child(group, name: str):
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise CheckpointError(f"the HDF5 file has a link to elsewhere: {name[:80]!r}")
    return group[name]


class _Reader:
    def __init__(self, data: memoryview):
        self.data = data
        self.arrays: dict[str, np.ndarray] = {}
        self.objects = 0

    def walk(self, group, names: tuple[str, ...], depth: int = 0) -> None:
        for key in group:
            self.objects += 1
            if self.objects > MAX_OBJECTS or depth > MAX_DEPTH:
                raise CheckpointError("the HDF5 file has too many groups")
            child = _group(group, key)
            if key == "vars":
                for number in child:
                    self.add("/".join((*names, number)), _child(child, number))
            elif key != "seed_generator":  # the state of a random generator, no weight
                self.walk(child, (*names, *_layer_names(group, key)), depth + 1)

    def add(self, name: str, dataset) -> None:
        import h5py

        if not isinstance(dataset, h5py.Dataset) or dataset.external or dataset.is_virtual:
            raise CheckpointError(f"the HDF5 file has no plain array {name[:80]!r}")
        offset = dataset.id.get_offset()
        if offset is None:
            raise CheckpointError(f"{name[:80]!r} is compressed or empty, as Keras writes none")
        if name in self.arrays:
            raise CheckpointError(f"the HDF5 file has two variables {name[:80]!r}")
        marked = dataset.attrs.get("dtype")
        dtype = "bfloat16" if marked == "bfloat16" else dataset.dtype.name
        if dtype != "bfloat16" and (dataset.dtype.kind not in "fiub" or not dataset.dtype.isnative):
            raise CheckpointError(f"{name[:80]!r} has the dtype {dataset.dtype}, not plain numbers")
        self.arrays[name] = view(self.data, dtype, tuple(map(int, dataset.shape)), offset)


def _group(group, key: str):
    import h5py

    child = _child(group, key)
    if not isinstance(child, h5py.Group):
        raise CheckpointError(f"the HDF5 file has a dataset {key[:80]!r} out of place")
    return child


def _layer_names(group, key: str) -> tuple[str, ...]:
    """The name of a layer; none for a list of layers, which has no variables of its own."""
    child = _child(group, key)
    if "vars" not in child:
        return ()
    name = _child(child, "vars").attrs.get("name", key)
    return (name if isinstance(name, str) else key,)
