"""Images that Parquet files name or hold."""

import functools
import threading
from collections.abc import Iterator
from typing import Any

from keras_pvt.batch.sources.folders import beside
from keras_pvt.batch.sources.row import CELL, FILE, Row
from keras_pvt.batch.storage import MOST_BYTES, discreetly, is_remote, open_file
from keras_pvt.download.secrets import redacted
from keras_pvt.utils.extras import needed_for

PATH, BYTES = ("path", "url"), ("bytes", "image")  # columns that are taken where none is named


def of_parquet(
    address: str, id_column: str = "id", path: str | None = None, content: str | None = None
) -> Iterator[Row]:
    """The rows of a Parquet file.

    Args:
        address: of the file.
        id_column: of text or integers, which name the images.
        path: column of paths, which start at the file's folder, or of URLs.
        content: column of the bytes of image files, or of {"bytes": ...}, as datasets on hubs
            have. Without both the first of `PATH` and `BYTES` that there is.
    Raises:
        OSError: it cannot be read.
        ValueError: it is no Parquet file, or has no such column.
    """
    with needed_for("a manifest", "batch"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    shown = redacted(address)
    with open_file(address) as file:
        try:
            table = pq.ParquetFile(file)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{shown} is no Parquet file: {error}") from None
        names = table.schema_arrow.names
        path, content = _column(names, path, content, shown)
        if id_column not in names:
            raise ValueError(
                f"{shown} has no column {id_column!r} of ids; it has {', '.join(names)}: "
                "--id names it."
            )
        for name in (id_column, content if path is None else path):
            if names.count(name) > 1:
                raise ValueError(f"{shown} has several columns {name!r}; it has to have one.")
        _check_kind(table.schema_arrow, path, content, shown)
        whole = beside(address)
        number = 0
        columns = [id_column] if path is None else [id_column, path]
        for batch in _batches(table, columns, shown):
            ids = batch.column(id_column).to_pylist()
            if path is None:
                for one in ids:
                    yield Row(one, CELL, address, number)
                    number += 1
                continue
            # Without a path it is an image that cannot be read, of which its row says so.
            paths = (where and whole(where) for where in batch.column(path).to_pylist())
            yield from (Row(one, FILE, where or "") for one, where in zip(ids, paths, strict=True))


def _batches(table: Any, columns: list[str], shown: str) -> Iterator[Any]:
    import pyarrow as pa

    try:
        yield from table.iter_batches(1 << 16, columns=columns)
    except (OSError, pa.ArrowException) as error:  # which do not name the file
        raise OSError(f"{shown} cannot be read: {error}") from None


def _check_kind(schema: Any, path: str | None, content: str | None, shown: str) -> None:
    """Refuse a column that has no paths, or no bytes, before each of its rows is an error."""
    import pyarrow.types as kinds

    kind = schema.field(content if path is None else path).type
    kind = kind.value_type if kinds.is_dictionary(kind) else kind
    if path is not None:
        text = (kinds.is_string, kinds.is_large_string, kinds.is_string_view, kinds.is_null)
        if not any(fits(kind) for fits in text):
            raise ValueError(
                f"{shown}: column {path!r} is {kind}, and paths are text; --path names another, or "
                "--bytes a column with the bytes of images."
            )
        return
    inner = kind
    if kinds.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        inner = kind.field("bytes").type
    binary = (kinds.is_binary, kinds.is_large_binary, kinds.is_binary_view, kinds.is_null)
    if not any(fits(inner) for fits in (*binary, kinds.is_fixed_size_binary)):
        raise ValueError(
            f"{shown}: column {content!r} is {kind}, and the bytes of images are binary; --bytes "
            "names another, or --path a column of paths."
        )


def _column(names, path, content, shown) -> tuple[str | None, str | None]:
    if path is None and content is None:
        path = next((name for name in PATH if name in names), None)
        if path is None:
            content = next((name for name in BYTES if name in names), None)
    wanted = content if path is None else path
    if wanted not in names:
        what = f"column {wanted!r}" if wanted else f"column of {', '.join((*PATH, *BYTES))}"
        raise ValueError(
            f"{shown} has no {what}; it has {', '.join(names)}: --path or --bytes names it."
        )
    return path, None if path is not None else content


class Cells:
    """The bytes of images in Parquet files: of the last row groups that were asked for."""

    def __init__(self, content: str | None):
        self._content = content
        self._lock = threading.Lock()  # several threads read images
        self._group = functools.lru_cache(2)(self._read_group)
        self._file = functools.lru_cache(4)(self._open)

    def read(self, address: str, row: int) -> bytes:
        """Of a row of a file.

        Raises:
            OSError: the file cannot be read, the row has no bytes, or too many.
        """
        with self._lock, discreetly(address):
            ends = self._file(address)[1]
            group = next(n for n, end in enumerate(ends) if row < end)
            first = ends[group - 1] if group else 0
            value = self._group(address, group)[row - first].as_py()
        if isinstance(value, dict):
            value = value.get("bytes")
        if not isinstance(value, bytes):
            raise OSError(f"{redacted(address)}, row {row} has no bytes of an image.")
        if len(value) > MOST_BYTES:
            raise OSError(f"{redacted(address)}, row {row} has too many bytes for an image.")
        return value

    def _open(self, address: str) -> tuple[Any, list[int], str]:
        import pyarrow.parquet as pq

        file = pq.ParquetFile(open_file(address) if is_remote(address) else address)
        names = file.schema_arrow.names
        name = self._content or next(one for one in BYTES if one in names)
        counts = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
        ends = [sum(counts[: n + 1]) for n in range(len(counts))]
        return file, ends, name

    def _read_group(self, address: str, group: int) -> Any:
        file, _, name = self._file(address)
        return file.read_row_group(group, columns=[name]).column(name)
