"""Images in tar files, as webdataset has them."""

import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from keras_pvt.batch.sources.row import RANGE, Row
from keras_pvt.batch.storage import name_of, open_file
from keras_pvt.download.secrets import redacted
from keras_pvt.utils.image_files import by_ending

BLOCK = 512  # bytes, of which everything in a tar file has a multiple
_REST = 1 << 20  # more than what any tar fills up a file with


def of_tar(address: str) -> Iterator[Row]:
    """The images of a tar file, in their order there; an id is SHARD.tar/NAME.

    The headers are read, and where each image lies is kept, so that it is read by itself later.

    Args:
        address: of the file, which is not compressed.
    Raises:
        OSError: it cannot be read.
        ValueError: it is no tar file, or is cut off, or several in a row, or is compressed; it has
            no image.
    """
    shown = redacted(address)
    name = name_of(address)
    count = end = 0
    with open_file(address) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    size = -(-member.size // BLOCK) * BLOCK if member.isreg() else 0
                    end = member.offset_data + size
                    base = member.name.rpartition("/")[2]
                    if member.isreg() and by_ending([base])[0]:
                        count += 1
                        row_id = f"{name}/{member.name.removeprefix('./')}"
                        yield Row(row_id, RANGE, address, member.offset_data, member.size)
            _check_end(file, end)
        except tarfile.TarError as error:
            raise ValueError(
                f"{shown} cannot be read as a tar file that is not compressed: {error}."
            ) from error
    if not count:
        raise ValueError(f"{shown} has no image (.jpg, .png and others that Pillow reads).")


def _check_end(file: BinaryIO, end: int) -> None:
    """Refuse what tarfile passes over: after the last member come zeros, and nothing else.

    Source:
        https://github.com/python/cpython/issues/120740: it ends in silence at a bad header.
    """
    file.seek(end)
    rest = file.read(_REST)
    if len(rest) < BLOCK or rest[:BLOCK].count(0) < BLOCK:
        raise tarfile.ReadError("it is damaged or cut off after its last whole member")
    if rest.count(0) < len(rest):
        raise tarfile.ReadError("another tar file follows in it; each is to be a file")
