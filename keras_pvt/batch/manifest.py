"""The manifest: every image of a job, by an id that no other has."""

import dataclasses
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keras_pvt.batch.sources.folders import of_file, of_folder, of_list
from keras_pvt.batch.sources.row import Row
from keras_pvt.batch.sources.tables import of_parquet
from keras_pvt.batch.sources.tars import of_tar
from keras_pvt.batch.sources.tfrecords import of_tfrecord
from keras_pvt.batch.storage import absolute, file_system, folder_of, is_by_http, is_remote
from keras_pvt.download.secrets import redacted, redacted_text
from keras_pvt.utils.extras import needed_for

if TYPE_CHECKING:
    import pyarrow as pa

LISTS = (".txt", ".lst")
TABLES = (".parquet",)
TARS = (".tar",)
RECORDS = (".tfrecord", ".tfrecords")
# Files of many images that nothing here reads; as an image each would be a row with an error.
OTHERS = (
    ".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".csv", ".tsv", ".json", ".jsonl", ".pq",
    ".arrow", ".feather", ".npy", ".npz", ".pkl", ".h5", ".hdf5",
)  # fmt: skip
_SHARD = re.compile(r"-\d+-of-\d+$")  # as tensorflow-datasets ends the names of TFRecord files
SHOWN = 3  # ids in a message
_LONGEST = 80  # characters of an id in a message
_AT_ONCE = 1 << 16  # rows that are Python objects, before they are a table


@dataclasses.dataclass(frozen=True)
class Columns:
    """Where in tables and records ids and images are.

    Args:
        id: column of a Parquet file, by default "id"; or feature of TFRecord's examples, by default
            none, and ids are numbers of records.
        path: column of a Parquet file with paths or URLs.
        content: column of a Parquet file, or feature, with the bytes of images.
    Raises:
        ValueError: both a path and the bytes.
    """

    id: str | None = None
    path: str | None = None
    content: str | None = None

    def __post_init__(self):
        if self.path is not None and self.content is not None:
            raise ValueError("images have a path (--path) or are bytes (--bytes), not both.")


def read_manifest(sources: Sequence[str | os.PathLike], columns: Columns) -> "pa.Table":
    """Every image of some sources; ids are text, or integers of Parquet files and TFRecords.

    Args:
        sources: folders; images; .txt, a path or URL a line; .parquet; .tar; .tfrecord; here, or
            URLs that fsspec reads.
        columns: where ids and images are.
    Returns:
        A table of the fields of `Row`.
    Raises:
        ValueError: no source, or one that is no such thing; a column without a file that has any;
            ids that several images have, or that are none; text and integers.
        OSError: a source that cannot be read.
        ImportError: pyarrow or fsspec is not installed.
    """
    with needed_for("batches", "batch"):
        import pyarrow as pa
    if not sources:
        raise ValueError("a source of images is wanted: a folder, a list, a manifest, shards.")
    _check_used([os.fspath(one) for one in sources], columns)
    rows = itertools.chain.from_iterable(
        _discreet_rows(os.fspath(source), columns) for source in sources
    )
    tables = []
    ids = None
    while some := list(itertools.islice(rows, _AT_ONCE)):
        ids = _kind_of_ids(some, ids)
        form = _schema(ids)
        arrays = [pa.array([row[n] for row in some], field.type) for n, field in enumerate(form)]
        tables.append(pa.Table.from_arrays(arrays, schema=form))
    if not tables:
        raise ValueError(
            f"there is no image in {', '.join(redacted(os.fspath(one)) for one in sources)}."
        )
    table = pa.concat_tables(tables)
    _check_unique(table)
    return table


def places(sources: Sequence[str | os.PathLike]) -> list[str]:
    """What tells sources from others while they grow: folders, those of shards and of images, and
    files that name images.

    Args:
        sources: see `read_manifest`.
    """
    found = set()
    for one in sources:
        source = os.fspath(one)
        place = absolute(source).rstrip("/")
        if not _is_folder(source) and not _ends(source, (*LISTS, *TABLES)):
            place = folder_of(source)
        found.add(redacted(place))
    return sorted(found)


def _check_used(sources: list[str], columns: Columns) -> None:
    """Refuse the name of a column that no source can have."""
    for flag, name, kinds in (
        ("--id", columns.id, (*TABLES, *RECORDS)),
        ("--path", columns.path, TABLES),
        ("--bytes", columns.content, (*TABLES, *RECORDS)),
    ):
        # The name first: whether it is a folder is to be asked of no store here.
        files = (source for source in sources if _ends(source, kinds) and not _is_folder(source))
        if name is not None and not any(files):
            raise ValueError(
                f"{flag} {name!r} is of files that end in {', '.join(kinds)}; got "
                f"{', '.join(map(redacted, sources))}."
            )


def _discreet_rows(source: str, columns: Columns) -> Iterator[Row]:
    """The rows of a source; errors of libraries do not tell what is secret in its address."""
    try:
        yield from _rows(source, columns)
    except Exception as error:
        if not is_remote(source):
            raise
        kept = (ImportError, FileNotFoundError, ValueError)
        kind = next((one for one in kept if isinstance(error, one)), OSError)
        raise kind(redacted_text(str(error), source)) from None


def _rows(source: str, columns: Columns) -> Iterator[Row]:
    if _is_folder(source):
        return of_folder(source)
    if _ends(source, LISTS):
        return of_list(source)
    if _ends(source, TABLES):
        return of_parquet(source, columns.id or "id", columns.path, columns.content)
    if _ends(source, TARS):
        return of_tar(source)
    if _ends(source, RECORDS):
        return of_tfrecord(source, columns.id)
    if not is_remote(source) and not os.path.exists(source):
        raise FileNotFoundError(f"there is no file or folder {source!r}.")
    if _ends(source, OTHERS):
        raise ValueError(
            f"{redacted(source)} is no source of images: folders, images and files that end in "
            f"{', '.join((*LISTS, *TABLES, *TARS, *RECORDS))} are, which are not compressed."
        )
    return of_file(source)


def _is_folder(source: str) -> bool:
    if not is_remote(source):
        return os.path.isdir(source)
    if is_by_http(source) or _ends(source, (*LISTS, *TABLES, *TARS, *RECORDS)):
        return False
    system, path = file_system(source)
    return system.isdir(path)


def _ends(source: str, endings: Iterable[str]) -> bool:
    path = source.partition("?")[0] if is_remote(source) else source
    return _SHARD.sub("", path.lower()).endswith(tuple(endings))


def _schema(ids: Any) -> "pa.Schema":
    import pyarrow as pa

    return pa.schema(
        {
            "id": ids,
            "kind": pa.string(),
            "path": pa.string(),
            "start": pa.int64(),
            "length": pa.int64(),
        }
    )


def _is_id(value: Any) -> bool:
    if type(value) is int:  # True is none
        return -(1 << 63) <= value < 1 << 63
    return isinstance(value, str) and value != "" and _is_text(value)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # of a file whose name is in another encoding
        return False
    return True


def _kind_of_ids(rows: list[Row], before: Any) -> Any:
    import pyarrow as pa

    bad = next((row for row in rows if not _is_id(row.id) or not _is_text(row.path)), None)
    if bad is not None:
        raise ValueError(
            "ids are text or integers (below 2**63), and each image has one; ids and paths are in "
            f"UTF-8; got {_shown(bad.id)} for {redacted(bad.path)}."
        )
    kinds = {type(row.id) for row in rows}
    found = {pa.string() if kind is str else pa.int64() for kind in kinds}
    if before is not None:
        found.add(before)
    if len(found) > 1:
        raise ValueError("ids of all images are text, or all are integers; got both.")
    return found.pop()


def _check_unique(table: "pa.Table") -> None:
    import pyarrow.compute as pc

    ids = table.column("id")
    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = pc.value_counts(ids)
    several = pc.filter(counts, pc.greater(pc.struct_field(counts, "counts"), 1)).to_pylist()
    named = ", ".join(f"{_shown(one['values'])} ({one['counts']} times)" for one in several[:SHOWN])
    more = f" and {len(several) - SHOWN} more" if len(several) > SHOWN else ""
    raise ValueError(
        f"several images have the same id: {named}{more}. A Parquet manifest gives each its own "
        "(--id names the column)."
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
