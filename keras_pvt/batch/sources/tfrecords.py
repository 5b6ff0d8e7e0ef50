"""Images in TFRecord files, each in a tf.train.Example; TensorFlow is not needed."""

import functools
import struct
from collections.abc import Iterator
from typing import BinaryIO

from keras_pvt.batch.sources.row import EXAMPLE, Row
from keras_pvt.batch.storage import name_of, open_file
from keras_pvt.download.secrets import redacted

FEATURE = "image/encoded"  # as tensorflow-datasets and the TF object detection API write it
_POLYNOMIAL = 0x82F63B78  # of CRC-32C, bits reversed


def of_tfrecord(address: str, id_feature: str | None = None) -> Iterator[Row]:
    """The records of a file, in their order; an id is SHARD.tfrecord/NUMBER, or a feature.

    Without `id_feature` the lengths of records are read, and no record.

    Args:
        address: of the file, which is not compressed.
        id_feature: of each example, whose value is its id.
    Raises:
        OSError: it cannot be read.
        ValueError: it is no TFRecord file, or is cut off; an example without the feature.
    Source:
        https://www.tensorflow.org/tutorials/load_data/tfrecord: a length of 8 bytes, its masked
        CRC-32C, the data, and theirs.
    """
    shown = redacted(address)
    name = name_of(address)
    with open_file(address) as file:
        for number, (start, length) in enumerate(_records(file, shown)):
            row_id: str | int = f"{name}/{number:08d}"
            if id_feature is not None:
                file.seek(start)
                row_id = _id_of(file.read(length), id_feature, f"{shown}, record {number}")
            yield Row(row_id, EXAMPLE, address, start, length)


def _records(file: BinaryIO, shown: str) -> Iterator[tuple[int, int]]:
    """First byte and length of the data of each record."""
    size = file.seek(0, 2)
    place = 0
    while place < size:
        file.seek(place)
        head = file.read(12)
        if len(head) < 12 or _masked_crc(head[:8]) != struct.unpack("<I", head[8:])[0]:
            raise ValueError(
                f"{shown} cannot be read as a TFRecord file that is not compressed: at byte {place}"
                " there is no length of a record."
            )
        (length,) = struct.unpack("<Q", head[:8])
        if place + length + 16 > size:
            raise ValueError(f"{shown} is cut off within the record at byte {place}.")
        yield place + 12, length
        place += length + 16


@functools.cache
def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


def _masked_crc(data: bytes) -> int:
    crc, table = 0xFFFFFFFF, _crc_table()
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _id_of(example: bytes, feature: str, where: str) -> str | int:
    try:
        value = feature_of(example, feature)
    except ValueError as error:
        raise ValueError(f"{where}: {error}.") from None
    if value is None:
        raise ValueError(f"{where} has no feature {feature!r} of one value, which is to be its id.")
    try:
        return value if isinstance(value, int) else value.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{where}: {feature!r} is no text, and no id.") from None


def feature_of(example: bytes, name: str) -> bytes | int | None:
    """The first value of a feature, bytes or an integer; None: there is none.

    Args:
        example: a serialized tf.train.Example.
        name: of the feature.
    Raises:
        ValueError: it is no such message.
    Source:
        tensorflow/core/example/feature.proto; the encoding is protobuf's.
    """
    try:
        for features in _fields(example, 1):
            for entry in _fields(features, 1):
                if _first(entry, 1) == name.encode():
                    feature = _first(entry, 2) or b""
                    values = _first(feature, 1)
                    if values is not None:
                        return _first(values, 1)
                    integers = _first(feature, 3)
                    return None if integers is None else _first_integer(integers)
    except (IndexError, TypeError) as error:
        raise ValueError("it is no tf.train.Example") from error
    return None


def _first(message, number: int):
    return next(_fields(message, number), None)


def _first_integer(message: bytes) -> int | None:
    """Of an Int64List, whose values are packed, or not."""
    value = _first(message, 1)
    if isinstance(value, bytes):
        value, _ = _varint(value, 0)
    return None if value is None else value - (1 << 64 if value >> 63 else 0)


def _fields(message: bytes, number: int) -> Iterator:
    """Values of the fields of a number: bytes, or an integer of a varint."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        value: bytes | int = 0
        if kind == 0:
            value, place = _varint(message, place)
        elif kind == 2:
            length, place = _varint(message, place)
            value = message[place : place + length]
            if len(value) < length:
                raise IndexError("a field is cut off")
            place += length
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        else:
            raise IndexError(f"no kind of field: {kind}")
        if key >> 3 == number:
            yield value


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise IndexError("a number of more than 64 bits")
