"""Reads the pickles in torch checkpoints without running them.

A pickle is a program for a stack machine. This machine knows only the instructions that
`torch.save` writes, and calls nothing: a few names become the plain records below, and whatever
else lies beside the weights becomes an `Opaque`, of which the name alone is known. What asks for
any other function to be called is refused. Neither `pickle` nor torch is imported.
"""

import functools
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from keras_pvt.conversion.readers.mapped import CheckpointError

# A checkpoint of PVT-Large with the states of its optimiser takes a tenth of this.
MAX_INSTRUCTIONS = 1_000_000
OF_A_MODULE = "Of a whole module save `model.state_dict()` instead, where its code is"

_BYTE, _SHORT, _INT, _UNSIGNED, _DOUBLE = (struct.Struct(f) for f in ("<B", "<H", "<i", "<I", ">d"))


class Storage(NamedTuple):
    """A run of numbers in the file.

    Args:
        dtype: numpy's name for the numbers' type.
        key: name of the storage in the file.
        size: how many numbers.
    """

    dtype: str
    key: str
    size: int


class Tensor(NamedTuple):
    """A view of a storage; `offset` and `strides` count numbers, not bytes. Unchecked."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Opaque:
    """Stands for an object that is not made: what a pickle puts into it is let go.

    Args:
        name: of its class, or of the function that would have made it.
    """

    def __init__(self, name: str):
        self.name = name


class _Name(NamedTuple):
    """A global that a pickle mentions, and what stands for a call of it; None: nothing does."""

    name: str
    call: Callable[..., Any] | None = None
    dtype: str | None = None


def _ordered_dict(*pairs):
    if pairs:
        raise CheckpointError("the pickle fills an OrderedDict in a way torch.save never does")
    return {}


def _rebuild_tensor(storage, offset, shape, strides, *_):
    if not (
        isinstance(storage, Storage)
        and isinstance(offset, int)
        and all(
            isinstance(sizes, tuple) and all(type(n) is int for n in sizes)
            for sizes in (shape, strides)
        )
    ):
        raise CheckpointError("the pickle describes a tensor wrongly")
    return Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor, *_):
    return tensor


def _opaque(name, *_):
    return Opaque(name)


_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}

# What trainers keep beside the weights and a pickle makes by a call, which is not made: numbers and
# arrays of numpy, containers, dates, paths, devices. Classes need no place here: a new object of
# any class is an `Opaque`. Python 2's names stand for themselves.
HARMLESS = (
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core")
      for name in ("scalar", "_reconstruct")),
    "numpy.dtype",
    "_codecs.encode",
    "copyreg._reconstructor",
    "copy_reg._reconstructor",
    *(f"{builtins}.{name}" for builtins in ("builtins", "__builtin__")
      for name in ("set", "frozenset", "slice", "complex", "bytearray")),
    "collections.Counter",
    "collections.deque",
    *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local")
      for name in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")),
    "torch.device",
    "torch.Size",
)  # fmt: skip
ALLOWED = {
    entry.name: entry
    for entry in (
        _Name("collections.OrderedDict", call=_ordered_dict),
        _Name("collections.defaultdict", call=lambda *_: {}),
        _Name("torch._utils._rebuild_tensor_v2", call=_rebuild_tensor),
        _Name("torch._utils._rebuild_parameter", call=_rebuild_parameter),
        *(_Name(name, call=functools.partial(_opaque, name)) for name in HARMLESS),
        *(_Name(f"torch.{name}", dtype=dtype) for name, dtype in _STORAGES.items()),
    )
}


class Pickled(NamedTuple):
    """What one pickle describes.

    Args:
        value: of plain containers, `Tensor`s and `Opaque`s.
        end: position after the pickle.
        dtypes: numpy's name for the numbers in each storage that it mentions, also in those that
            are let go.
    """

    value: Any
    end: int
    dtypes: dict[str, str]


def read_pickle(data, start: int = 0) -> Pickled:
    """Build what one pickle describes.

    Args:
        data: bytes, or a memory map.
        start: where the pickle begins.
    Raises:
        CheckpointError: a call of what is not on the list, an instruction that torch never writes;
            a damaged pickle.
    """
    machine = _Machine(data, start)
    return Pickled(machine.run(), machine.position, machine.dtypes)


class _Machine:
    def __init__(self, data, position: int):
        self.data = data
        self.position = position
        self.stack: list = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.dtypes: dict[str, str] = {}

    def run(self):
        for _ in range(MAX_INSTRUCTIONS):
            code = self.take(1)
            if code == b".":  # stop
                return self.pop()
            if code not in _INSTRUCTIONS:
                raise CheckpointError(
                    f"the pickle has instruction {code!r}, which torch.save never writes"
                )
            _INSTRUCTIONS[code](self)
        raise CheckpointError(f"the pickle has more than {MAX_INSTRUCTIONS:,} instructions")

    def take(self, count: int) -> bytes:
        end = self.position + count
        taken = self.data[self.position : end]
        if len(taken) < count:
            raise CheckpointError("the pickle is cut off")
        self.position = end
        return taken

    def number(self, form: struct.Struct):
        return form.unpack(self.take(form.size))[0]

    def line(self) -> str:
        end = self.data.find(b"\n", self.position, self.position + 256)
        if end < 0:
            raise CheckpointError("the pickle has an endless name")
        return self.text(self.take(end + 1 - self.position)[:-1])

    def text(self, raw: bytes) -> str:
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise CheckpointError("the pickle has text that is not UTF-8") from None

    def push(self, value) -> None:
        self.stack.append(value)

    def pop(self):
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise CheckpointError("the pickle takes more than it has put")
        return self.stack.pop()

    def pop_marked(self) -> list:
        if not self.marks:
            raise CheckpointError("the pickle closes what it has not opened")
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def top(self, kind: type):
        """What is filled next: a container of this kind; of an `Opaque`, one that is let go."""
        value = self.pop()
        self.push(value)
        if type(value) is Opaque:
            return kind()
        if type(value) is not kind:
            raise CheckpointError(
                f"the pickle fills a {type(value).__name__} as if it were a {kind.__name__}"
            )
        return value

    # From here on: one method an instruction, named as in the standard library's pickletools.

    def put(self, form: struct.Struct) -> None:
        index = self.number(form)
        value = self.pop()
        self.push(value)
        self.memo[index] = value

    def get(self, form: struct.Struct) -> None:
        index = self.number(form)
        if index not in self.memo:
            raise CheckpointError("the pickle refers to an object it has not made")
        self.push(self.memo[index])

    def tuple_of(self, count: int) -> None:
        self.push(tuple(reversed([self.pop() for _ in range(count)])))

    def appends(self, values: list) -> None:
        self.top(list).extend(values)

    def setitems(self, values: list) -> None:
        target = self.top(dict)
        if len(values) % 2:
            raise CheckpointError("the pickle has a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            # A key of nested tuples could take for ever to hash; no weight has such a name.
            plain = type(key) in (str, int, float, bool, type(None))
            target[key if plain else Opaque(type(key).__name__)] = value

    def setitem(self) -> None:
        value, key = self.pop(), self.pop()
        self.setitems([key, value])

    def long(self, form: struct.Struct) -> None:
        raw = self.take(self.number(form))
        # A number of thousands of digits is none of a tensor, and could not be shown in an error.
        small = len(raw) < 256
        self.push(int.from_bytes(raw, "little", signed=True) if small else Opaque("int"))

    def find_global(self) -> None:
        name = f"{self.line()}.{self.line()}"
        self.push(ALLOWED.get(name, _Name(name)))

    def reduce(self, new: bool = False) -> None:
        """A call; of what makes a new object of a class, no class is asked."""
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, _Name) or type(arguments) is not tuple:
            raise CheckpointError("the pickle calls what is no function")
        if name.call is None:
            if not new:
                raise _refused(name)
            self.push(Opaque(name.name))
            return
        try:
            self.push(name.call(*arguments))
        except TypeError:
            raise CheckpointError(f"the pickle calls {name.name!r} wrongly") from None

    def build(self) -> None:
        """Attributes of an object; of a state dict these are versions of modules."""
        self.pop()
        if type(self.stack[-1] if self.stack else None) not in (dict, Opaque):
            raise CheckpointError("the pickle gives attributes to what has none")

    def persistent_id(self) -> None:
        value = self.pop()
        # Of a whole module, legacy files name the class with its source code, which is let go.
        if type(value) is tuple and len(value) == 4 and value[0] == "module":
            self.push(value[1])
            return
        # Legacy files add a sixth item: None, or a view of another storage.
        if type(value) is tuple and len(value) == 6 and value[5] is None:
            value = value[:5]
        if not (type(value) is tuple and len(value) == 5 and value[0] == "storage"):
            raise CheckpointError("the pickle refers to something that is not a storage")
        _, kind, key, _, size = value
        if not (isinstance(kind, _Name) and type(key) is str and type(size) is int and size >= 0):
            raise CheckpointError("the pickle describes a storage wrongly")
        if kind.dtype is None:
            raise _refused(kind)
        self.dtypes[key] = kind.dtype
        self.push(Storage(kind.dtype, key, size))


def _refused(name: _Name) -> CheckpointError:
    return CheckpointError(
        f"the pickle asks for {name.name!r}; only tensors are read, and nothing is run. "
        f"{OF_A_MODULE}"
    )


_INSTRUCTIONS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.take(1),  # protocol
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push(m.number(_BYTE)),
    b"M": lambda m: m.push(m.number(_SHORT)),
    b"J": lambda m: m.push(m.number(_INT)),
    b"\x8a": lambda m: m.long(_BYTE),
    b"\x8b": lambda m: m.long(_UNSIGNED),
    b"G": lambda m: m.push(m.number(_DOUBLE)),
    b"X": lambda m: m.push(m.text(m.take(m.number(_UNSIGNED)))),
    b"U": lambda m: m.push(m.text(m.take(m.number(_BYTE)))),  # Python 2's texts
    b"T": lambda m: m.push(m.text(m.take(m.number(_UNSIGNED)))),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.pop_marked())),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"]": lambda m: m.push([]),
    b"a": lambda m: m.appends([m.pop()]),
    b"e": lambda m: m.appends(m.pop_marked()),
    b"}": lambda m: m.push({}),
    b"s": _Machine.setitem,
    b"u": lambda m: m.setitems(m.pop_marked()),
    b"q": lambda m: m.put(_BYTE),
    b"r": lambda m: m.put(_UNSIGNED),
    b"h": lambda m: m.get(_BYTE),
    b"j": lambda m: m.get(_UNSIGNED),
    b"c": _Machine.find_global,
    b"R": _Machine.reduce,
    b"\x81": lambda m: m.reduce(new=True),
    b"b": _Machine.build,
    b"Q": _Machine.persistent_id,
}
