"""Parquet files of results: written whole, each id in one of them."""

import concurrent.futures
import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from keras_pvt.batch import facts, tasks
from keras_pvt.batch.options import Options
from keras_pvt.batch.storage import Folder, discreetly

if TYPE_CHECKING:
    import pyarrow as pa

META = b"keras_pvt"  # key of the facts in a schema's metadata
_THREADS = 16  # that read ids, as an object store answers late
_SORTED = 1 << 16  # rows that are sorted in memory


def schema(options: Options, ids: "pa.DataType", known: dict[str, Any]) -> "pa.Schema":
    """Of the files: id, the columns of the task, error, and the facts of the job.

    Args:
        options: of the job.
        ids: type of the ids.
        known: see `keras_pvt.batch.facts`; the fingerprint is among them.
    """
    import pyarrow as pa

    columns = [("id", ids), *tasks.fields(options), ("error", pa.string())]
    return pa.schema(columns, {META: json.dumps(known)})


def write(folder: Folder, name: str, rows: Sequence[dict[str, Any]], form: "pa.Schema") -> None:
    """Write a file of results.

    Args:
        folder: of the results.
        name: of the file in it.
        rows: a dictionary of columns each; what is missing is null.
        form: their schema.
    """
    import pyarrow as pa

    columns = [pa.array([row.get(one.name) for row in rows], one.type) for one in form]
    table = pa.Table.from_arrays(columns, schema=form)
    _write(folder, name, table)


def parts(folder: Folder) -> list[str]:
    """The names of the files of results."""
    return [name for name in folder.names() if name.endswith(".parquet") and name[0] not in "._"]


def read_ids(folder: Folder) -> "pa.Table | None":
    """The ids that are there, each with the name of its file and whether it failed.

    Returns:
        A table of `id`, `part` (an index into `parts`) and `failed`; None: there is no file.
    Raises:
        OSError: a file cannot be read.
        ValueError: a file is of another job; an id is there twice.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names = parts(folder)
    if not names:
        return None
    own = facts.fingerprint(facts.read(folder) or {})

    def read(number: int) -> "pa.Table":
        table = _read(folder, names[number], ["id", "error"], own)
        where = pa.array([number] * len(table), pa.int32())
        failed = pc.is_valid(table.column("error"))
        return pa.table({"id": table.column("id"), "part": where, "failed": failed})

    with concurrent.futures.ThreadPoolExecutor(_THREADS) as pool:
        found = pa.concat_tables(pool.map(read, range(len(names))))
    if pc.count_distinct(found.column("id")).as_py() != len(found):
        raise ValueError(
            f"{folder.address} has ids twice: its files were not all written by runs of this job "
            "that knew of each other."
        )
    return found


def forget_failed(folder: Folder, found: "pa.Table") -> "pa.Table | None":
    """Take the rows of images that could not be read out of the files, to try them again.

    Args:
        folder: of the results.
        found: see `read_ids`.
    Returns:
        The rows of `found` that are left; None: there are none.
    """
    import pyarrow.compute as pc

    names = parts(folder)
    for number in pc.unique(found.filter(found.column("failed")).column("part")).to_pylist():
        table = _read(folder, names[number], None)
        kept = table.filter(pc.is_null(table.column("error")))
        if not len(kept):
            folder.remove(names[number])
            continue
        new = f"_{names[number]}.new"
        _write(folder, new, kept)
        folder.move(new, names[number])
    left = found.filter(pc.invert(found.column("failed")))
    return left if len(left) else None


def write_sorted(folder: Folder, target: str) -> int:
    """Write one file with all results, by id.

    Some ids at a time are sorted in memory; files with none of these are not read.

    Args:
        folder: of the results.
        target: path of the file.
    Returns:
        How many rows it has.
    Raises:
        OSError: it cannot be written.
        ValueError: there are no results.
    """
    import pyarrow.parquet as pq

    from keras_pvt.utils.files import replacing

    found = read_ids(folder)
    if found is None:
        raise ValueError(f"{folder.address} has no results.")
    if not os.path.dirname(target):
        target = os.path.join(os.curdir, target)
    with replacing(target) as path:
        writer = None
        for rows in _in_order(folder, found):
            writer = writer or pq.ParquetWriter(path, rows.schema)
            writer.write_table(rows)
        assert writer is not None
        writer.close()
    return len(found)


def _in_order(folder: Folder, found: "pa.Table") -> Iterator["pa.Table"]:
    import pyarrow as pa
    import pyarrow.compute as pc

    names = parts(folder)
    ordered = found.sort_by("id")
    for start in range(0, len(ordered), _SORTED):
        some = ordered.slice(start, _SORTED)
        ids = some.column("id").combine_chunks()
        tables = []
        for number in pc.unique(some.column("part")).to_pylist():
            table = _read(folder, names[number], None)
            tables.append(table.filter(pc.is_in(table.column("id"), ids)))
        yield pa.concat_tables(tables).sort_by("id")


def _write(folder: Folder, name: str, table: "pa.Table") -> None:
    import pyarrow.parquet as pq

    with folder.open(name, "wb") as file, discreetly(folder.address, "written"):
        pq.write_table(table, file, write_page_checksum=True)


def _read(
    folder: Folder, name: str, columns: list[str] | None, fingerprint: str | None = None
) -> "pa.Table":
    """Read a file, whose fingerprint is looked at where one is given."""
    import pyarrow.parquet as pq

    where = f"{folder.address}/{name}"
    try:
        with folder.open(name, "rb") as file, discreetly(where):
            table = pq.ParquetFile(file, page_checksum_verification=True)
            known = json.loads((table.schema_arrow.metadata or {}).get(META, b"{}"))
            if fingerprint in (None, known.get("fingerprint")):
                return table.read(columns)
    except OSError as error:
        told = "If it is damaged, remove it, and its images are computed again."
        raise OSError(f"{str(error).rstrip('.')}. {told}") from error
    raise ValueError(f"{where} is not of this job; move it elsewhere.")
