"""Files as views of memory maps, checked before anything is believed or inflated."""

import math
import mmap
import os
import pathlib
import struct
import zipfile
import zlib

import numpy as np


class CheckpointError(ValueError):
    """A checkpoint file that cannot be read, or does not fit the model; says which and why."""


# Weights hardly compress: a file that claims more is a bomb.
MAX_INFLATION = 16
MAX_RANK = 8

LOCAL_HEADER = b"PK\x03\x04"


def map_file(path: pathlib.Path) -> mmap.mmap:
    """A read-only map of a file that is not empty.

    Raises:
        CheckpointError: an empty file.
        OSError: a file that cannot be opened.
    """
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            raise CheckpointError("the file is empty")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def numpy_dtype(name: str) -> np.dtype:
    """The dtype of a name; bfloat16, which numpy lacks, is the one that Keras uses."""
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def view(data, dtype: str, shape: tuple[int, ...], offset: int = 0) -> np.ndarray:
    """Array over the bytes of `data` from `offset` on.

    Raises:
        CheckpointError: a shape that is none, or that reaches past the end.
    """
    kind = numpy_dtype(dtype)
    if len(shape) > MAX_RANK or any(type(n) is not int or not 0 <= n < 2**31 for n in shape):
        raise CheckpointError(f"an array has the shape {str(shape)[:80]}")
    count = math.prod(shape)
    if offset < 0 or offset + count * kind.itemsize > len(data):
        raise CheckpointError("an array reaches past the end of the data")
    if not count:
        return np.empty(shape, kind)
    return np.frombuffer(data, kind, count, offset).reshape(shape)


def check_total(nbytes: int, size: int) -> None:
    """Raise CheckpointError where the arrays of a file of `size` bytes have too many, by sharing.

    Tensors may share numbers, as tied weights do, but what copies each of them is to end.
    """
    if nbytes > MAX_INFLATION * size:
        raise CheckpointError(
            f"its arrays take more than {MAX_INFLATION} times the {size:,} bytes of the file"
        )


class Archive:
    """A zip file: stored members are views of its map, others are inflated within limits.

    Args:
        mapped: the whole file.
    Raises:
        CheckpointError: a damaged or encrypted file, a name twice, or a zip bomb.
    """

    def __init__(self, mapped: mmap.mmap):
        self._mapped = mapped
        try:
            members = zipfile.ZipFile(mapped).infolist()  # type: ignore[call-overload]
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            raise CheckpointError(f"the zip file is damaged: {error}") from error
        self._members = {member.filename: member for member in members}
        if len(self._members) != len(members):
            raise CheckpointError("the zip file has two members of one name")
        inflated = sum(m.file_size for m in self._members.values() if m.compress_type)
        if inflated > MAX_INFLATION * len(mapped):
            raise CheckpointError(
                f"the zip file says that it inflates to {inflated:,} bytes, from {len(mapped):,}"
            )

    @property
    def names(self) -> list[str]:
        return list(self._members)

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self._mapped)

    def read(self, name: str) -> memoryview:
        """Content of a member.

        Raises:
            CheckpointError: no such member, or a damaged one.
        """
        if name not in self._members:
            raise CheckpointError(f"the zip file has no member {name[:80]!r}")
        member = self._members[name]
        # The local header ends in a name and an extra field of lengths of its own.
        header = self._mapped[member.header_offset : member.header_offset + 30]
        if len(header) < 30 or not header.startswith(LOCAL_HEADER) or member.flag_bits & 1:
            raise CheckpointError(f"the zip file's member {name[:80]!r} is displaced or encrypted")
        start = member.header_offset + 30 + sum(struct.unpack("<HH", header[26:]))
        end = start + member.compress_size
        if end > len(self._mapped):
            raise CheckpointError(f"the zip file's member {name[:80]!r} is cut off")
        content = memoryview(self._mapped)[start:end]
        if member.compress_type == zipfile.ZIP_DEFLATED:
            content = _inflate(content, member)
        elif member.compress_type != zipfile.ZIP_STORED:
            raise CheckpointError(f"the zip file's member {name[:80]!r} is packed in a rare way")
        if len(content) != member.file_size:
            raise CheckpointError(f"the zip file's member {name[:80]!r} has a wrong size")
        return content


def _inflate(content: memoryview, member: zipfile.ZipInfo) -> memoryview:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # One byte more than announced shows that there is more.
        inflated = inflater.decompress(content, member.file_size + 1)
    except zlib.error as error:
        raise CheckpointError(f"the zip file is damaged: {error}") from error
    if zlib.crc32(inflated) != member.CRC:
        raise CheckpointError(f"the zip file's member {member.filename[:80]!r} is damaged")
    return memoryview(inflated)
