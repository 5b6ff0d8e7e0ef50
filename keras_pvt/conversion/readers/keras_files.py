"""Reads Keras weight files, `.weights.h5`, in one piece or in shards, the one in `.keras`, and the
older `.h5`, without building a model."""

import contextlib
import io
import itertools
import mmap
import pathlib
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
# Bytes: what h5py asks for is mostly a few, of places that lie together.
READ_AHEAD = 4096
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
    return _read([(io.BufferedReader(_Member(data), READ_AHEAD), data)])[0]


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
            opened = [(stack.enter_context(h5py.File(file, "r")), data) for file, data in files]
            roots = [_Group(file["/"].id, data) for file, data in opened]
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


class _Member(io.RawIOBase):
    """A member of an archive as a file that h5py reads, which is not copied."""

    def __init__(self, data: memoryview):
        self._data = data
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}[whence]
        self._position = max(start + offset, 0)
        return self._position

    def readinto(self, buffer) -> int:
        part = self._data[self._position : self._position + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)


def _child(group, name: str):
    """The group or dataset of a name in a group, by their identifiers in h5py: its objects would
    take three times as long. None where there is no such name."""
    import h5py

    if not isinstance(group, h5py.h5g.GroupID):
        raise CheckpointError(f"the HDF5 file has a dataset where {name[:80]!r} is looked for")
    encoded = name.encode()
    if not group.links.exists(encoded):
        return None
    if group.links.get_info(encoded).type != h5py.h5l.TYPE_HARD:
        raise CheckpointError(f"the HDF5 file has a link to elsewhere: {name[:80]!r}")
    return h5py.h5o.open(group, encoded)


class _Group(NamedTuple):
    """The identifier of a group of a file, and the data of the file."""

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
                for child in children:
                    for number in _keys([child]):
                        dataset = _child(child.group, number)
                        self.add("/".join((*names, number)), dataset, child.data)
            elif key != "seed_generator":  # the state of a random generator, no weight
                self.walk(children, (*names, *_layer_names(children, key)), depth + 1)

    def take_old(self, layers: _Group) -> None:
        """Take the variables of the format before Keras 3."""
        for layer in _keys([layers]):
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

        stored = dataset.get_create_plist() if isinstance(dataset, h5py.h5d.DatasetID) else None
        virtual = stored is not None and stored.get_layout() == h5py.h5d.VIRTUAL
        if stored is None or virtual or stored.get_external_count():
            raise CheckpointError(f"the HDF5 file has no plain array {name[:80]!r}")
        offset = dataset.get_offset()
        if offset is None:
            raise CheckpointError(f"{name[:80]!r} is compressed or empty, as Keras writes none")
        if name in self.arrays:
            raise CheckpointError(f"the HDF5 file has two variables {name[:80]!r}")
        kind = dataset.dtype
        dtype = "bfloat16" if _attribute(dataset, "dtype") == "bfloat16" else kind.name
        if dtype != "bfloat16" and (kind.kind not in "fiub" or not kind.isnative):
            raise CheckpointError(f"{name[:80]!r} has the dtype {kind}, not plain numbers")
        self.arrays[name] = view(data, dtype, tuple(map(int, dataset.shape)), offset)


def _old_layers(root: _Group) -> _Group | None:
    """The group of layers in a file of the format before Keras 3; None in another."""
    inner = _child(root.group, OLD_WEIGHTS)
    group = root.group if inner is None else inner
    names = (_attribute(group, name) for name in ("layer_names", "layer_names0"))
    return _Group(group, root.data) if any(n is not None for n in names) else None


def _version(*groups: _Group) -> str:
    """The version of Keras that the attributes of a group note; else that it is the older one."""
    for group, _ in groups:
        version = _attribute(group, "keras_version")
        if isinstance(version, str):
            return version[:LONGEST_VERSION]
    return "2"


def _old_names(layer) -> list[str]:
    """The names of a layer's variables."""
    numbered = (_attribute(layer, f"{OLD_NAMES}{number}") for number in itertools.count())
    parts = [_attribute(layer, OLD_NAMES) or []]
    parts += itertools.takewhile(lambda part: part is not None, numbered)
    return [str(name) for part in parts for name in part]


def _attribute(of, name: str) -> Any:
    """The value of an attribute that is text, or a list of texts; None where there is none.

    An empty list has no type. Of another type nothing is read: HDF5 trusts what a damaged file says
    of its numbers.
    """
    import h5py

    if not h5py.h5a.exists(of, name.encode()):
        return None
    attribute = h5py.h5a.open(of, name.encode())
    if 0 in attribute.shape:
        return []
    if not isinstance(attribute.get_type(), h5py.h5t.TypeStringID):
        raise CheckpointError(f"the HDF5 file has an attribute {name!r} that is no text")
    value = np.empty(attribute.shape, attribute.dtype)
    attribute.read(value)
    read = value.tolist()
    return [_text(part) for part in read] if isinstance(read, list) else _text(read)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _keys(groups: list[_Group]) -> list[str]:
    """The names in groups, each once."""
    found: list[bytes] = []
    for group, _ in groups:
        group.links.iterate(found.append)
    return [name.decode() for name in dict.fromkeys(found)]


def _children(groups: list[_Group], key: str) -> list[_Group]:
    """The groups of a name in those that have one."""
    import h5py

    found = [(_child(group, key), data) for group, data in groups]
    children = [_Group(child, data) for child, data in found if child is not None]
    if not all(isinstance(child, h5py.h5g.GroupID) for child, _ in children):
        raise CheckpointError(f"the HDF5 file has a dataset {key[:80]!r} out of place")
    return children


def _layer_names(groups: list[_Group], key: str) -> tuple[str, ...]:
    """The name of a layer; none for a list of layers, which has no variables of its own."""
    own = [variables for variables, _ in _children(groups, "vars")]
    if not own:
        return ()
    names = [name for name in (_attribute(each, "name") for each in own) if name is not None]
    return (names[0] if names and isinstance(names[0], str) else key,)
