"""Reads Keras weight files, `.weights.h5`, in one piece or in shards, the one in `.keras`, and the
older `.h5`, without building a model."""

import contextlib
import io
import itertools
import mmap
import pathlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from keras_pvt.conversion.description import Checkpoint, Origin
from keras_pvt.conversion.readers.mapped import (
    Archive,
    CheckpointError,
    check_total,
    view,
)
from keras_pvt.conversion.readers.quantized import plain_layers
from keras_pvt.conversion.readers.shards import Shards

WEIGHTS_MEMBER = "model.weights.h5"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_OBJECTS = 100_000
MAX_DEPTH = 8
# Groups of a model that hold no weights of layers.
NO_LAYERS = ("vars", "optimizer")
# The weights in a whole model of the older format.
OLD_WEIGHTS = "model_weights"
LONGEST_VERSION = 40
# Of a layer there: its variables in order. A list that is too long has its parts numbered.
OLD_NAMES = "weight_names"


def read_h5(mapped: mmap.mmap, path: pathlib.Path) -> Checkpoint:
    """Variables of a `.weights.h5` or `.h5` file, see `_read`."""
    arrays, version = _read([(str(path), memoryview(mapped))])
    if version is None:
        return Checkpoint(arrays, origin=Origin(".weights.h5 file", "Keras 3"))
    return Checkpoint(arrays, origin=Origin(".h5 file", f"Keras {version}"))


def read_keras(archive: Archive) -> dict[str, np.ndarray]:
    """Variables of the weights in a `.keras` file, see `_read`."""
    data = archive.read(WEIGHTS_MEMBER)
    return _read([(io.BytesIO(data), data)])[0]


def read_shards(shards: Shards) -> Checkpoint:
    """Variables of the `.weights.h5` files that a `.weights.json` file lists, see `_read`."""
    arrays, _ = _read([(str(path), memoryview(mapped)) for path, mapped in shards.files.values()])
    return Checkpoint(
        arrays, origin=Origin(f"list of {len(shards.files)} .weights.h5 files", "Keras 3")
    )


def _read(files: list[tuple]) -> tuple[dict[str, np.ndarray], str | None]:
    """Variables as views of the data of files, of a name or an object and its data each, named by
    their layers' names and own numbers: "stage1_block0/attention/query/0".

    Keras files a layer under its class and a counter, and notes its name beside it; names
    do not depend on which other layers the model has. Of shards each has some of the groups, and
    of a layer's variables. Quantized kernels are as `plain_layers` makes them. In the format before
    Keras 3 each layer is a group of its name, with a list of its variables' names, and they are
    numbered by that list; with them goes the version that wrote it, which is None otherwise.

    Raises:
        CheckpointError: a damaged file; links to elsewhere; compressed variables.
    """
    import h5py

    try:
        with contextlib.ExitStack() as stack:
            roots = [
                _Group(stack.enter_context(h5py.File(file, "r")), data) for file, data in files
            ]
            reader = _Reader()
            version = None
            if (old := _old_layers(roots[0])) is not None:
                reader.take_old(old)
                version = _version(old, roots[0])
                roots = []
            # Layers of the graph, and those that a model has beside them, as attributes.
            for key in _keys(roots):
                if key not in NO_LAYERS:
                    children = _children(roots, key)
                    reader.walk(children, _layer_names(children, key))
            total = sum(array.nbytes for array in reader.arrays.values())
            check_total(total, sum(len(data) for _, data in files))
            return plain_layers(reader.arrays), version
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"the HDF5 file is damaged: {error}") from error


def _child(group, name: str):
    import h5py

    if not isinstance(group, h5py.Group):
        raise CheckpointError(f"the HDF5 file has a dataset where {name[:80]!r} is looked for")
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise CheckpointError(f"the HDF5 file has a link to elsewhere: {name[:80]!r}")
    return group[name]


class _Group(NamedTuple):
    """A group of a file, and the data of the file."""

    group: Any
    data: memoryview


class _Reader:
    def __init__(self):
        self.arrays: dict[str, np.ndarray] = {}
        self.objects = 0

    def walk(self, groups: list[_Group], names: tuple[str, ...], depth: int = 0) -> None:
        """Take the variables of a group, which each of several shards may have a part of."""
        for key in _keys(groups):
            self.objects += 1
            if self.objects > MAX_OBJECTS or depth > MAX_DEPTH:
                raise CheckpointError("the HDF5 file has too many groups")
            children = _children(groups, key)
            if key == "vars":
                for child, data in children:
                    for number in child:
                        self.add("/".join((*names, number)), _child(child, number), data)
            elif key != "seed_generator":  # the state of a random generator, no weight
                self.walk(children, (*names, *_layer_names(children, key)), depth + 1)

    def take_old(self, layers: _Group) -> None:
        """Take the variables of the format before Keras 3."""
        for layer in layers.group:
            group, data = _children([layers], layer)[0]
            for number, name in enumerate(_old_names(group)):
                self.objects += 1
                if self.objects > MAX_OBJECTS or name.count("/") > MAX_DEPTH:
                    raise CheckpointError("the HDF5 file has too many groups")
                dataset = group
                for part in name.split("/"):
                    dataset = _child(dataset, part)
                self.add(f"{layer}/{number}", dataset, data)

    def add(self, name: str, dataset, data: memoryview) -> None:
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
        self.arrays[name] = view(data, dtype, tuple(map(int, dataset.shape)), offset)


def _old_layers(root: _Group) -> _Group | None:
    """The group of layers in a file of the format before Keras 3; None in another."""
    import h5py

    group = root.group
    if _has(group, OLD_WEIGHTS):
        group = _child(group, OLD_WEIGHTS)
    named = isinstance(group, h5py.Group) and {"layer_names", "layer_names0"} & {*group.attrs}
    return _Group(group, root.data) if named else None


def _version(*groups: _Group) -> str:
    """The version of Keras that the attributes of a group note; else that it is the older one."""
    for group, _ in groups:
        version = group.attrs.get("keras_version")
        if isinstance(version, bytes):
            version = version.decode()
        if isinstance(version, str):
            return version[:LONGEST_VERSION]
    return "2"


def _old_names(layer) -> list[str]:
    """The names of a layer's variables."""
    numbered = (f"{OLD_NAMES}{number}" for number in itertools.count())
    parts = itertools.chain([OLD_NAMES], itertools.takewhile(layer.attrs.__contains__, numbered))
    names = [name for part in parts if part in layer.attrs for name in layer.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _keys(groups: list[_Group]) -> Iterable[str]:
    return dict.fromkeys(key for group, _ in groups for key in group)


def _has(group, key: str) -> bool:
    """Whether a group has a name, be it that of a link to nowhere."""
    return group.get(key, getlink=True) is not None


def _children(groups: list[_Group], key: str) -> list[_Group]:
    """The groups of a name in those that have one."""
    import h5py

    children = [_Group(_child(group, key), data) for group, data in groups if _has(group, key)]
    if not all(isinstance(child, h5py.Group) for child, _ in children):
        raise CheckpointError(f"the HDF5 file has a dataset {key[:80]!r} out of place")
    return children


def _layer_names(groups: list[_Group], key: str) -> tuple[str, ...]:
    """The name of a layer; none for a list of layers, which has no variables of its own."""
    own = [_child(group, "vars") for group, _ in groups if _has(group, "vars")]
    if not own:
        return ()
    names = [variables.attrs["name"] for variables in own if "name" in variables.attrs]
    return (names[0] if names and isinstance(names[0], str) else key,)
