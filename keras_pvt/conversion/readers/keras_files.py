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
# What keras_pvt takes as it lies in the file, the most frequent first.
PLAIN = (
    *("float32", "float16", "float64", "bool"),
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
)
ELSEWHERE = "the HDF5 file has a link to elsewhere: {!r}"
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
            for key, holders in _members(roots).items():
                if key not in NO_LAYERS:
                    reader.walk(_groups(holders, key), key)
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
        raise CheckpointError(ELSEWHERE.format(name[:80]))
    return h5py.h5o.open(group, encoded)


class _Group(NamedTuple):
    """The identifier of a group of a file, and the data of the file."""

    id: Any
    data: memoryview


class _Reader:
    def __init__(self):
        import h5py

        self.arrays: dict[str, np.ndarray] = {}
        self.objects = 0
        self.types = {name: h5py.h5t.py_create(np.dtype(name)) for name in PLAIN}

    def walk(
        self, groups: list[_Group], key: str, names: tuple[str, ...] = (), depth: int = 0
    ) -> None:
        """Take the variables of a layer's group, which each of several shards may have a part of.

        Args:
            groups: of the layer or of a list of layers, one of each shard.
            key: its name there.
            names: of the layers around it.
            depth: groups around it.
        """
        import h5py

        self._count(depth)
        members = _members(groups)
        variables = _groups(members.pop("vars", []), "vars")
        names = (*names, *_layer_names(variables, key))
        for own in variables:
            for number in _members([own]):
                dataset = h5py.h5d.open(own.id, number.encode())
                self.add("/".join((*names, number)), dataset, own.data)
        for child, holders in members.items():
            if child != "seed_generator":  # the state of a random generator, no weight
                self.walk(_groups(holders, child), child, names, depth + 1)

    def take_old(self, layers: _Group) -> None:
        """Take the variables of the format before Keras 3."""
        for layer, holders in _members([layers]).items():
            group, data = _groups(holders, layer)[0]
            for number, name in enumerate(_old_names(group)):
                self._count(name.count("/"))
                dataset = group
                for part in name.split("/"):
                    dataset = _child(dataset, part)
                self.add(f"{layer}/{number}", dataset, data)

    def add(self, name: str, dataset, data: memoryview) -> None:
        import h5py

        self._count()
        if not isinstance(dataset, h5py.h5d.DatasetID):
            raise CheckpointError(f"the HDF5 file has no array {name[:80]!r}")
        offset = dataset.get_offset()
        if offset is None:  # of all that does not lie here in one piece
            raise CheckpointError(
                f"{name[:80]!r} is no plain array: compressed, empty, virtual or in another file, "
                "as Keras writes none"
            )
        if name in self.arrays:
            raise CheckpointError(f"the HDF5 file has two variables {name[:80]!r}")
        dtype = self._dtype(name, dataset)
        self.arrays[name] = view(data, dtype, tuple(map(int, dataset.shape)), offset)

    def _dtype(self, name: str, dataset) -> str:
        """The name of a dataset's dtype, which has the same bytes in the file as in memory.

        HDF5 compares the types. h5py gives the nearest dtype that NumPy has, such as float32 for a
        float of two bytes with another exponent than float16.
        """
        stored = dataset.get_type()
        for dtype, plain in self.types.items():
            if stored.equal(plain):
                return dtype
        # Of bfloat16 HDF5 knows that it has two bytes; Keras notes what they are.
        if stored.dtype == "V2" and _attribute(dataset, "dtype") == "bfloat16":
            return "bfloat16"
        raise CheckpointError(
            f"{name[:80]!r} has the dtype {stored.dtype}, in {stored.get_size()} bytes, not plain "
            "numbers"
        )

    def _count(self, depth: int = 0) -> None:
        """Note another group or array, at a depth in groups."""
        self.objects += 1
        if self.objects > MAX_OBJECTS or depth > MAX_DEPTH:
            raise CheckpointError("the HDF5 file has too many groups")


def _old_layers(root: _Group) -> _Group | None:
    """The group of layers in a file of the format before Keras 3; None in another."""
    inner = _child(root.id, OLD_WEIGHTS)
    group = root.id if inner is None else inner
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
    shape = attribute.shape
    if 0 in shape:
        return []
    stored = attribute.get_type()
    if not isinstance(stored, h5py.h5t.TypeStringID):
        raise CheckpointError(f"the HDF5 file has an attribute {name!r} that is no text")
    value = np.empty(shape, stored.dtype)
    attribute.read(value)
    read = value.tolist()
    return [_text(part) for part in read] if isinstance(read, list) else _text(read)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _members(groups: list[_Group]) -> dict[str, list[_Group]]:
    """The names in groups, each once, and which of the groups have it."""
    import h5py

    members: dict[str, list[_Group]] = {}
    for group in groups:
        links: list[tuple[bytes, int]] = []
        # What is called by HDF5 must not raise.
        group.id.links.iterate(lambda name, link, to=links: to.append((name, link.type)), info=True)
        for encoded, kind in links:
            name = encoded.decode()
            if kind != h5py.h5l.TYPE_HARD:
                raise CheckpointError(ELSEWHERE.format(name[:80]))
            members.setdefault(name, []).append(group)
    return members


def _groups(holders: list[_Group], key: str) -> list[_Group]:
    """The groups of a name in those that have one."""
    import h5py

    encoded = key.encode()
    return [_Group(h5py.h5g.open(holder.id, encoded), holder.data) for holder in holders]


def _layer_names(variables: list[_Group], key: str) -> tuple[str, ...]:
    """The name of a layer by its groups of variables; none for a list of layers, which has none."""
    if not variables:
        return ()
    names = [name for own in variables if (name := _attribute(own.id, "name")) is not None]
    return (names[0] if names and isinstance(names[0], str) else key,)
