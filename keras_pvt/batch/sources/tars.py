"""Images in tar files, as webdataset has them."""

import tarfile
from collections.abc import Iterator

from keras_pvt.batch.sources.row import RANGE, Row
from keras_pvt.batch.storage import open_file
from keras_pvt.download.secrets import redacted
from keras_pvt.utils.image_files import by_ending


def of_tar(address: str) -> Iterator[Row]:
    """The images of a tar file, in their order there; an id is SHARD.tar/NAME.

    The headers are read, and where each image lies is kept, so that it is read by itself later.

    Args:
        address: of the file, which is not compressed.
    Raises:
        OSError: it cannot be read.
        ValueError: it is no tar file, or is cut off, or is compressed; it has no image.
    """
    shown = redacted(address)
    name = shown.rpartition("/")[2]
    count = end = 0
    with open_file(address) as file:
        size = file.seek(0, 2)
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    end = member.offset_data + member.size
                    if end > size:
                        raise tarfile.ReadError(f"it is cut off within {member.name!r}")
                    base = member.name.rpartition("/")[2]
                    if member.isreg() and by_ending([base])[0]:
                        count += 1
                        row_id = f"{name}/{member.name.removeprefix('./')}"
                        yield Row(row_id, RANGE, address, member.offset_data, member.size)
        except tarfile.TarError as error:
            raise ValueError(
                f"{shown} cannot be read as a tar file that is not compressed: {error}."
            ) from error
    if not count:
        raise ValueError(f"{shown} has no image (.jpg, .png and others that Pillow reads).")
