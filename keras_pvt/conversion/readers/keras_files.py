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
# Groups around a group or array, also those that hold no weights: seed_generator, optimizer.
MAX_DEPTH = 16
# Bytes: each path repeats the names of all groups around it, so long ones would fill the memory.
LONGEST_PATH = 1000  # of a layer's name, in characters, too
# Bytes: what h5py asks for is mostly a few, of places that lie together.
READ_AHEAD = 4096
# Groups of a model that hold no weights of layers.
NO_LAYERS = ("vars", "optimizer")
# The weights in a whole model of the older format.
OLD_WEIGHTS = "model_weights"
LONGEST_VERSION = 40
# Of a layer there: its variables in order. A list that is too long has its parts numbered.
OLD_NAMES = "weight_names"
MOST_NAMES = 64


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
            roots = [_Root(file["/"].id, data) for file, data in opened]
            reader = _Reader(roots)
            version = None
            if (old := _old_layers(roots[0].id)) is not None:
                reader.take_old(roots[0], old)
                version = _version(old, roots[0].id)
            else:
                # Layers of the graph, and those that a model has beside them, as attributes.
                for key, layer in reader.tree.items():
                    if key not in NO_LAYERS:
                        reader.walk(layer, (key,))
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


class _Root(NamedTuple):
    """The identifier of the first group of a file, and the data of the file."""

    id: Any
    data: memoryview


# Groups and arrays by their names, in those around them.
_Tree = dict[str, "_Tree"]


class _Reader:
    """Takes the variables of files that lie in the same groups, each in one of them.

    HDF5 goes through all groups by one call, and finds an array by its whole path: to open each
    group from here would take it longer than all the rest.
    """

    def __init__(self, roots: list[_Root]):
        import h5py

        self.arrays: dict[str, np.ndarray] = {}
        self.types = {name: h5py.h5t.py_create(np.dtype(name)) for name in PLAIN}
        self.roots = roots
        self.tree: _Tree = {}
        self.holders: dict[str, list[_Root]] = {}
        for root in roots:
            for path in _paths(root.id):
                self.holders.setdefault(path, []).append(root)
                group = self.tree
                for name in path.split("/"):
                    group = group.setdefault(name, {})

    def walk(self, group: _Tree, path: tuple[str, ...], names: tuple[str, ...] = ()) -> None:
        """Take the variables of a layer, or of a list of layers.

        Args:
            group: of the layer.
            path: names of the groups around it, and its own.
            names: of the layers around it.
        """
        self.check_group("/".join(path), group)
        if "vars" in group:
            variables = "/".join((*path, "vars"))
            self.check_group(variables, group["vars"])
            names = (*names, self._name(variables, path[-1]))
            for number in group["vars"]:
                if not (number.isascii() and number.isdecimal()):
                    raise CheckpointError(
                        f"the HDF5 file has {f'{variables}/{number}'[:80]!r}, and Keras numbers "
                        "variables"
                    )
                for root in self.holders[f"{variables}/{number}"]:
                    self.add("/".join((*names, number)), root, f"{variables}/{number}")
        for child, inner in group.items():
            if child not in ("vars", "seed_generator"):  # the state of a generator, no weight
                self.walk(inner, (*path, child), names)

    def take_old(self, root: _Root, layers) -> None:
        """Take the variables of the format before Keras 3."""
        prefix = "" if layers == root.id else f"{OLD_WEIGHTS}/"
        for layer, inner in (self.tree[OLD_WEIGHTS] if prefix else self.tree).items():
            self.check_group(f"{prefix}{layer}", inner)
            names = _attributes_in_parts(root.id, OLD_NAMES, f"{prefix}{layer}")
            if not names and _has_arrays(root.id, f"{prefix}{layer}", inner):
                raise CheckpointError(f"the HDF5 file has no {OLD_NAMES!r} of {layer[:80]!r}")
            if len(set(names)) < len(names):  # a short file could have as many as it likes
                raise CheckpointError(f"{OLD_NAMES!r} of {layer[:80]!r} has a variable twice")
            for number, name in enumerate(names):
                self.add(f"{layer}/{number}", root, f"{prefix}{layer}/{name}")

    def check_group(self, path: str, members: _Tree) -> None:
        """Refuse what is no group where one is looked for: it would seem to be an empty one."""
        import h5py

        if members and len(self.roots) == 1:
            return
        for root in self.holders[path]:  # one shard may have members, and another none
            if h5py.h5g.get_objinfo(root.id, path.encode()).type != h5py.h5g.GROUP:
                raise CheckpointError(
                    f"{path[:80]!r} of the HDF5 file is no group, as Keras has there"
                )

    def _name(self, variables: str, key: str) -> str:
        """The name of a layer by its group of variables."""
        found = (_attribute(root.id, "name", variables) for root in self.holders[variables])
        name = next((name for name in found if name is not None), None)
        if not isinstance(name, str):
            return key
        if len(name) > LONGEST_PATH:
            raise CheckpointError(f"the name of a layer is too long: {name[:80]!r}")
        return name

    def add(self, name: str, root: _Root, path: str) -> None:
        """Take the array at a path."""
        import h5py

        if path not in self.holders:
            raise CheckpointError(f"the HDF5 file has no array {path[:80]!r}")
        dataset = h5py.h5d.open(root.id, path.encode())
        offset = dataset.get_offset()
        if offset is None:  # of all that does not lie here in one piece
            raise CheckpointError(
                f"{name[:80]!r} is no plain array: compressed, empty, virtual or in another file, "
                "as Keras writes none"
            )
        if name in self.arrays:
            raise CheckpointError(f"the HDF5 file has two variables {name[:80]!r}")
        dtype = self._dtype(name, dataset)
        self.arrays[name] = view(root.data, dtype, tuple(map(int, dataset.shape)), offset)

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


def _paths(root) -> list[str]:
    """The paths of all groups and arrays below a group.

    HDF5 goes through a group of two names once only, so the second would seem to be empty.
    """
    import h5py

    links: list[tuple[bytes, int, int]] = []

    def take(path, link):  # HDF5 calls it: it must not raise, and what it returns ends the visit
        links.append((path, link.type, link.u))
        deep = path.count(b"/") > MAX_DEPTH or len(path) > LONGEST_PATH
        return True if deep or len(links) > MAX_OBJECTS else None

    if root.links.visit(take, info=True):
        raise CheckpointError("the HDF5 file has too many groups, or too deep ones, or long names")
    places = {h5py.h5g.get_objinfo(root).objno[0]: b"/"}
    for path, kind, place in links:
        if kind != h5py.h5l.TYPE_HARD:
            raise CheckpointError(ELSEWHERE.format(path.decode()[:80]))
        if (first := places.setdefault(place, path)) != path:
            raise CheckpointError(
                f"the HDF5 file has {first.decode()[:80]!r} again, as {path.decode()[:80]!r}, as "
                "Keras writes none"
            )
    return [path.decode() for path, _, _ in links]


def _has_arrays(root, path: str, members: _Tree) -> bool:
    """Whether an array lies at a path or below."""
    import h5py

    if members:
        return any(_has_arrays(root, f"{path}/{name}", inner) for name, inner in members.items())
    return h5py.h5g.get_objinfo(root, path.encode()).type == h5py.h5g.DATASET


def _old_layers(root):
    """The group of layers in a file of the format before Keras 3; None in another."""
    import h5py

    group = root
    if root.links.exists(OLD_WEIGHTS.encode()):
        group = h5py.h5g.open(root, OLD_WEIGHTS.encode())
    names = (b"layer_names", b"layer_names0")
    return group if any(h5py.h5a.exists(group, name) for name in names) else None


def _version(*groups) -> str:
    """The version of Keras that the attributes of a group note; else that it is the older one."""
    for group in groups:
        version = _attribute(group, "keras_version")
        if isinstance(version, str):
            return version[:LONGEST_VERSION]
    return "2"


def _attributes_in_parts(root, name: str, path: str) -> list[str]:
    """A list that is an attribute, or several that are numbered."""
    numbered = (_attribute(root, f"{name}{number}", path) for number in itertools.count())
    parts = [_attribute(root, name, path) or []]
    parts += itertools.takewhile(lambda part: part is not None, numbered)
    return [str(value) for part in parts for value in part]


def _attribute(group, name: str, path: str = ".") -> Any:
    """The value of an attribute that is text, or a list of texts; None where there is none.

    An empty list has no type. Of another type nothing is read: HDF5 trusts what a damaged file says
    of its numbers.

    Args:
        group: above what has it.
        name: of the attribute.
        path: from the group.
    """
    import h5py

    where = path.encode()
    try:
        attribute = h5py.h5a.open(group, name.encode(), obj_name=where)
    except KeyError:
        if h5py.h5a.exists(group, name.encode(), obj_name=where):
            raise
        return None
    shape = attribute.shape
    if 0 in shape:
        return []
    stored = attribute.get_type()
    if not isinstance(stored, h5py.h5t.TypeStringID):
        raise CheckpointError(f"the HDF5 file has an attribute {name!r} that is no text")
    # Each of such a list is a pointer: all of them to one long text would fill the memory.
    if stored.is_variable_str() and np.prod(shape) > MOST_NAMES:
        raise CheckpointError(
            f"the HDF5 file has a list {name!r} of {np.prod(shape)} texts, and no layer has more "
            f"than {MOST_NAMES} variables"
        )
    value = np.empty(shape, stored.dtype)
    attribute.read(value)
    read = value.tolist()
    return [_text(part) for part in read] if isinstance(read, list) else _text(read)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
