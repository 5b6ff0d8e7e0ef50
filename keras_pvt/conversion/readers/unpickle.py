"""Reads the pickles in torch checkpoints without running them.

A pickle is a program for a stack machine. This machine knows only the instructions that
`torch.save` writes, and calls nothing: the few names of the allow-list become the plain
records below. Neither `pickle` nor torch is imported.
"""

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from keras_pvt.conversion.readers.mapped import CheckpointError

# A checkpoint of PVT-Large with the states of its optimiser takes a tenth of this.
MAX_INSTRUCTIONS = 1_000_000

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


class Ignored:
    """Stands for an object whose content no checkpoint reader needs."""


class _Name(NamedTuple):
    """An allowed global: what a pickle may mention, and what stands for a call of it."""

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

ALLOWED = {
    entry.name: entry
    for entry in (
        _Name("collections.OrderedDict", call=_ordered_dict),
        _Name("torch._utils._rebuild_tensor_v2", call=_rebuild_tensor),
        _Name("torch._utils._rebuild_parameter", call=_rebuild_parameter),
        # The official trainer keeps its command line beside the weights.
        _Name("argparse.Namespace", call=lambda: Ignored()),
        *(_Name(f"torch.{name}", dtype=dtype) for name, dtype in _STORAGES.items()),
    )
}


def read_pickle(data, start: int = 0) -> tuple[Any, int]:
    """Build what one pickle describes, of plain containers, `Tensor`s and `Ignored`s.

    Args:
        data: bytes, or a memory map.
        start: where the pickle begins.
    Returns:
        The object, and the position after the pickle.
    Raises:
        CheckpointError: a name or an instruction outside the allow-list; a damaged pickle.
    """
    machine = _Machine(data, start)
    return machine.run(), machine.position


class _Machine:
    def __init__(self, data, position: int):
        self.data = data
        self.position = position
        self.stack: list = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

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
        value = self.pop()
        self.push(value)
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
            # A key of nested tuples could take for ever to hash.
            if type(key) not in (str, int):
                raise CheckpointError(f"the pickle has a key of type {type(key).__name__}")
            target[key] = value

    def setitem(self) -> None:
        value, key = self.pop(), self.pop()
        self.setitems([key, value])

    def long1(self) -> None:
        self.push(int.from_bytes(self.take(self.number(_BYTE)), "little", signed=True))

    def find_global(self) -> None:
        name = f"{self.line()}.{self.line()}"
        if name not in ALLOWED:
            raise CheckpointError(
                f"the pickle asks for {name!r}; only tensors are read, and nothing is run. Of a "
                "whole module save `model.state_dict()` instead, where its code is"
            )
        self.push(ALLOWED[name])

    def reduce(self) -> None:
        arguments, name = self.pop(), self.pop()
        if not isinstance(name, _Name) or name.call is None or type(arguments) is not tuple:
            raise CheckpointError("the pickle calls what is not a function of the allow-list")
        try:
            self.push(name.call(*arguments))
        except TypeError:
            raise CheckpointError(f"the pickle calls {name.name!r} wrongly") from None

    def build(self) -> None:
        """Attributes of an object; of a state dict these are versions of modules."""
        self.pop()
        if type(self.stack[-1] if self.stack else None) not in (dict, Ignored):
            raise CheckpointError("the pickle gives attributes to what has none")

    def persistent_id(self) -> None:
        value = self.pop()
        # Legacy files add a sixth item: None, or a view of another storage.
        if type(value) is tuple and len(value) == 6 and value[5] is None:
            value = value[:5]
        if not (type(value) is tuple and len(value) == 5 and value[0] == "storage"):
            raise CheckpointError("the pickle refers to something that is not a storage")
        _, kind, key, _, size = value
        if not (
            isinstance(kind, _Name)
            and kind.dtype
            and type(key) is str
            and type(size) is int
            and size >= 0
        ):
            raise CheckpointError("the pickle describes a storage wrongly")
        self.push(Storage(kind.dtype, key, size))


_INSTRUCTIONS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.take(1),  # protocol
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push(m.number(_BYTE)),
    b"M": lambda m: m.push(m.number(_SHORT)),
    b"J": lambda m: m.push(m.number(_INT)),
    b"\x8a": _Machine.long1,
    b"G": lambda m: m.push(m.number(_DOUBLE)),
    b"X": lambda m: m.push(m.text(m.take(m.number(_UNSIGNED)))),
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
    b"\x81": _Machine.reduce,  # a new object, here the same as a call
    b"b": _Machine.build,
    b"Q": _Machine.persistent_id,
}
