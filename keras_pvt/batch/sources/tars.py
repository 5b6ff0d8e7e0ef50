"""Images in tar files, as webdataset has them."""

import posixpath
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from keras_pvt.batch.sources.row import FILE, RANGE, Row
from keras_pvt.batch.storage import name_of, open_file
from keras_pvt.download.secrets import redacted
from keras_pvt.utils.image_files import by_ending

BLOCK = 512  # bytes, of which everything in a tar file has a multiple
_DEEPEST = 8  # links that lead to each other
_REST = 1 << 20  # more than what any tar fills up a file with


def of_tar(address: str) -> Iterator[Row]:
    """The images of a tar file, in their order there, then links to them; an id is SHARD.tar/NAME.

    The headers are read, and where each image lies is kept, so that it is read by itself later.

    Args:
        address: of the file, which is not compressed.
    Raises:
        OSError: it cannot be read.
        ValueError: it is no tar file, or is cut off, or several in a row, or is compressed; it has
            no image, or sparse files.
    """
    shown = redacted(address)
    name = name_of(address)
    count = end = 0
    links: list[tuple[str, tarfile.TarInfo]] = []  # of one name too, which is refused later
    with open_file(address) as file:
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    if member.issparse():  # whose bytes do not lie in a row
                        raise tarfile.ReadError(f"{member.name} is sparse; make it without that")
                    size = -(-member.size // BLOCK) * BLOCK if member.isreg() else 0
                    end = member.offset_data + size
                    if member.isdir() or not by_ending([posixpath.basename(member.name)])[0]:
                        continue
                    count += 1
                    row_id = f"{name}/{member.name.removeprefix('./')}"
                    if member.isreg():
                        yield Row(row_id, RANGE, address, member.offset_data, member.size)
                    else:
                        links.append((row_id, member))
                members = _by_name(tar) if links else {}
            for row_id, link in links:
                found = _target(link, members)
                if found is None:  # an image that cannot be read, of which its row says so
                    yield Row(row_id, FILE, "")
                else:
                    yield Row(row_id, RANGE, address, found.offset_data, found.size)
            _check_end(file, end)
        except tarfile.TarError as error:
            raise ValueError(
                f"{shown} cannot be read as a tar file that is not compressed: {error}."
            ) from error
    if not count:
        raise ValueError(f"{shown} has no image (.jpg, .png and others that Pillow reads).")


def _by_name(tar: tarfile.TarFile) -> dict[str, tarfile.TarInfo]:
    return {posixpath.normpath(member.name): member for member in tar.getmembers()}


def _target(link: tarfile.TarInfo, members: dict[str, tarfile.TarInfo]) -> tarfile.TarInfo | None:
    """The file that a link leads to, as tar has for the second of two hard links; None: none."""
    seen: tarfile.TarInfo | None = link
    for _ in range(_DEEPEST):
        if seen is None or seen.isreg():
            return seen
        folder = posixpath.dirname(seen.name) if seen.issym() else ""
        seen = members.get(posixpath.normpath(posixpath.join(folder, seen.linkname)))
    return None


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
