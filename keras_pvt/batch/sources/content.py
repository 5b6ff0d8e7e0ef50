"""What a row of the manifest is to a predictor: a path, or how to get the bytes."""

import pathlib
from typing import Any

from keras_pvt.batch.sources.row import CELL, EXAMPLE, FILE, Row
from keras_pvt.batch.sources.tables import Cells
from keras_pvt.batch.sources.tfrecords import FEATURE, feature_of
from keras_pvt.batch.storage import is_remote, read
from keras_pvt.download.secrets import redacted
from keras_pvt.utils.image_files import Stored


class Contents:
    """Gives predictors what they read.

    Args:
        content: column of Parquet files, or feature of TFRecord's examples, with the bytes of
            images; None: as they usually call it.
    """

    def __init__(self, content: str | None = None):
        self._content = content
        self._cells = Cells(content)

    def source(self, row: Row) -> Any:
        """A path of a file that is here, which predictors open themselves; else a `Stored`."""
        if row.kind == FILE and row.path and not is_remote(row.path):
            return pathlib.Path(row.path)
        return Stored(self._name(row), lambda: self._bytes(row))

    def _name(self, row: Row) -> str:
        return redacted(row.path) if row.kind == FILE else f"image {row.id!r}"

    def _bytes(self, row: Row) -> bytes:
        if not row.path:
            raise OSError(f"image {row.id!r} has no path.")
        if row.kind == CELL:
            assert row.start is not None
            return self._cells.read(row.path, row.start)
        content = read(row.path, row.start, row.length)
        if row.kind != EXAMPLE:
            return content
        feature = self._content or FEATURE
        try:
            value = feature_of(content, feature)
        except ValueError as error:
            raise OSError(f"image {row.id!r}: {error}.") from error
        if not isinstance(value, bytes):
            raise OSError(f"image {row.id!r} has no feature {feature!r} with bytes.")
        return value
