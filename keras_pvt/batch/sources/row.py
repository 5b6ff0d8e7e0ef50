"""A row of the manifest: an image's id, and where its bytes are."""

from typing import NamedTuple

# Kinds of places.
FILE = "file"  # all of a file
RANGE = "range"  # some bytes of a file
EXAMPLE = "example"  # the same, which are a tf.train.Example with the image in it
CELL = "cell"  # a row of a Parquet file


class Row(NamedTuple):
    """An image to be read.

    Args:
        id: which no other image of the job has.
        kind: of the place, `FILE`, `RANGE`, `EXAMPLE` or `CELL`.
        path: or URL of the file.
        start: of a range its first byte; of a cell its row; else None.
        length: of a range in bytes; else None.
    """

    id: str | int
    kind: str
    path: str
    start: int | None = None
    length: int | None = None
