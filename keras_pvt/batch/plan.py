"""A run: what is still to be computed, cut into chunks, each of which becomes a file of results.

Workers write their files in a folder of the run, under names that no attempt shares. Only the
process that started the run gives a file its name among the results, once for each chunk. So a
worker that dies, or that another replaces while it still writes, leaves nothing there.
"""

import dataclasses
import uuid
from typing import TYPE_CHECKING, Any

from keras_pvt.batch import tasks
from keras_pvt.batch.options import Options
from keras_pvt.batch.results import write
from keras_pvt.batch.sources.content import Contents
from keras_pvt.batch.sources.row import Row
from keras_pvt.batch.storage import Folder, discreetly

if TYPE_CHECKING:
    import pyarrow as pa

RUNS = "_runs"  # folder of what is not finished
MANIFEST = "manifest.parquet"


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a worker is told.

    Args:
        options: of the job.
        out: folder of the results.
        run: name of the run.
        schema: of the files.
        batch_size: images that the model gets at once.
        content: column or feature with the bytes of images, see `Contents`.
        images: how many the job has, which decides whether exporting to an engine is worth it.
    """

    options: Options
    out: Folder
    run: str
    schema: "pa.Schema"
    batch_size: int
    content: str | None
    images: int

    @property
    def folder(self) -> str:
        """Of the run, in that of the results."""
        return f"{RUNS}/{self.run}"


@dataclasses.dataclass(frozen=True)
class Part:
    """A file of a chunk that is written, and not yet among the results.

    Args:
        chunk: number of the chunk.
        name: of the file.
        rows: in it.
        failed: rows with an error.
    """

    chunk: int
    name: str
    rows: int
    failed: int


def write_manifest(plan: Plan, pending: "pa.Table", rows: int) -> int:
    """Write what is to be computed where workers read it; a row group is a chunk.

    Args:
        plan: of the run.
        pending: rows of the manifest.
        rows: of a chunk.
    Returns:
        How many chunks there are.
    """
    import pyarrow.parquet as pq

    plan.out.make(plan.folder)
    name = f"{plan.folder}/{MANIFEST}"
    with plan.out.open(name, "wb") as file, discreetly(plan.out.address, "written"):
        pq.write_table(pending, file, row_group_size=rows)
    return -(-len(pending) // rows)


def commit(plan: Plan, part: Part) -> None:
    """Give a file its name among the results."""
    plan.out.move(part.name, f"part-{plan.run}-{part.chunk:06d}.parquet")


class Worker:
    """Computes chunks.

    Args:
        plan: of the run.
        task: that is loaded already; None: it is loaded.
    Raises:
        OSError: this machine does not see the folder of the run.
        ValueError, ImportError: see `keras_pvt.batch.tasks.load`.
    """

    def __init__(self, plan: Plan, task: Any = None):
        if not plan.out.exists(f"{plan.folder}/{MANIFEST}"):
            raise OSError(
                f"a worker sees no {plan.folder} in {plan.out.address}: results of several "
                "machines go to a folder that all of them see, such as s3://BUCKET/FOLDER."
            )
        self._plan = plan
        self._file: Any = None
        self._manifest: Any = None
        self._contents = Contents(plan.content)
        self._task = tasks.load(plan.options, plan.images) if task is None else task

    def compute(self, chunk: int) -> Part:
        """Compute a chunk, and write its file.

        Args:
            chunk: its number.
        """
        rows = self._rows(chunk)
        sources = map(self._contents.source, rows)
        answers = self._task.answers(sources, self._plan.batch_size)
        found = [
            {"id": row.id, "error": error} | (columns or {})
            for row, (columns, error) in zip(rows, answers, strict=True)
        ]
        name = f"{self._plan.folder}/{chunk:06d}-{uuid.uuid4().hex[:8]}.parquet"
        write(self._plan.out, name, found, self._plan.schema)
        return Part(chunk, name, len(found), sum(row["error"] is not None for row in found))

    def _rows(self, chunk: int) -> list[Row]:
        import pyarrow.parquet as pq

        if self._manifest is None:
            self._file = self._plan.out.open(f"{self._plan.folder}/{MANIFEST}", "rb")
            self._manifest = pq.ParquetFile(self._file)
        return [Row(**row) for row in self._manifest.read_row_group(chunk).to_pylist()]

    def close(self) -> None:
        """Close the manifest."""
        if self._file is not None:
            self._file.close()
