"""`keras_pvt.batch.Job`."""

import contextlib
import dataclasses
import json
import os
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from keras_pvt.batch import facts, lock, on_ray, results, tasks
from keras_pvt.batch.manifest import Columns, places, read_manifest
from keras_pvt.batch.options import Options
from keras_pvt.batch.plan import RUNS, Part, Plan, Worker, commit, write_manifest
from keras_pvt.batch.storage import Folder
from keras_pvt.batch.tasks import BATCH_SIZES
from keras_pvt.engines.fingerprint import version
from keras_pvt.engines.table import AUTO

if TYPE_CHECKING:
    import pyarrow as pa

LOCAL = "local"  # a plain loop in this process; other addresses are Ray's
# Of a file of results: what a worker holds in memory, and loses at most.
ROWS = {"classify": 1024, "embed": 1024, "detect": 1024, "segment": 64}


@dataclasses.dataclass(frozen=True)
class Summary:
    """What a run did.

    Args:
        done: images that this run computed, or found to be unreadable.
        skipped: whose results were there.
        failed: of both those that could not be read; their rows say why.
        seconds: from the first chunk to the last; loading the model is a part of it.
    """

    done: int
    skipped: int
    failed: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        """`done` by `seconds`; 0 where nothing was to be done."""
        return self.done / self.seconds if self.done else 0.0

    def __str__(self):
        return (
            f"{self.done} done, {self.skipped} skipped, {self.failed} failed; "
            f"{self.seconds:.1f} s, {self.images_per_second:.1f} images/s"
        )


class Job:
    """Prediction over many images, in a folder of Parquet files; docs/batch.md has more.

    A job that was stopped, in whatever way, goes on when it is run again: each id gets one row. A
    finished job does nothing, and a source that grew adds its new ids.

    Args:
        task: "classify", "embed", "detect" or "segment".
        model: a variant, or a file of a trained model or checkpoint, here or on a hub.
        source: a folder, an image, or a file that names or holds images (.txt, .parquet, .tar,
            .tfrecord), here or a URL that fsspec reads; or several of them.
        out: folder of the results, here or a URL.
        id: column or feature of ids, see `Columns`.
        path: column with paths of images.
        content: column or feature with the bytes of images.
        batch_size: images that the model gets at once; by default that of the task's command.
        rows: of a file of results, which a worker computes at a time; by default 1024, and 64 with
            masks of pixels. It becomes a multiple of `batch_size`, so that each image has the place
            in its batch that it would have in one long run: the last bits depend on it.
        workers: processes with a model each; more than one need Ray.
        cpus: processors of each worker.
        gpus: of each worker.
        memory: GiB that each worker needs; None: is not asked for.
        retry: whether to try images again that could not be read.
        **options: further fields of `keras_pvt.batch.options.Options`, such as `weights`, `top`,
            `masks` or `engine`.
    Raises:
        ValueError: arguments out of range.
    Example:
        >>> job = keras_pvt.batch.Job("classify", "pvt_small", "photos/", "results/")
        >>> summary = job.run()
        >>> print(summary.done, summary.skipped, summary.failed)
    """

    def __init__(
        self,
        task: str,
        model: str | os.PathLike,
        source: str | os.PathLike | Sequence[str | os.PathLike],
        out: str | os.PathLike,
        *,
        id: str | None = None,
        path: str | None = None,
        content: str | None = None,
        batch_size: int | None = None,
        rows: int | None = None,
        workers: int = 1,
        cpus: int = 1,
        gpus: float = 0,
        memory: float | None = None,
        retry: bool = False,
        **options: Any,
    ):
        self.options = Options(task, os.fspath(model), **options)
        rows = ROWS[task] if rows is None else rows
        self.sources = [source] if isinstance(source, str | os.PathLike) else list(source)
        self.out = Folder(os.fspath(out))
        self.columns = Columns(id, path, content)
        numbers = {"rows": rows, "workers": workers, "cpus": cpus}
        if batch_size is not None:
            numbers["batch_size"] = batch_size
        for name, value in numbers.items():
            if not hasattr(value, "__index__"):
                raise ValueError(f"`{name}` must be an integer; got {value!r}.")
            if value < 1:
                raise ValueError(f"`{name}` must be at least 1; got {value}.")
        if gpus < 0 or (memory is not None and memory <= 0):
            raise ValueError(f"`gpus` and `memory` are numbers of 0 or more; got {gpus}, {memory}.")
        self.batch_size = batch_size or BATCH_SIZES[task]
        self.rows = -(-rows // self.batch_size) * self.batch_size
        self.workers, self.cpus = workers, cpus
        self.gpus, self.memory, self.retry = gpus, memory, retry

    def run(
        self,
        address: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Summary:
        """Compute what is not there yet.

        Args:
            address: "local": a plain loop in this process; "here": Ray, on this machine alone;
                "auto", or an address: Ray's cluster there. None: "local" with one worker, "here"
                with more.
            progress: is called with the number of images that have results, and of all.
        Returns:
            What was done.
        Raises:
            ValueError: another job's results are in the folder; several images have one id; a
                model or source that is none; a cluster that could not finish the job.
            OSError: what cannot be read or written.
            ImportError: a library is missing; says what to install.
            RuntimeError: another run has begun in the folder; a worker failed.
        """
        address = self._address(address)
        manifest = read_manifest(self.sources, self.columns)
        self.out.make()
        facts.read(self.out)  # of another kind of folder, in which not even a lock is to be left
        run = uuid.uuid4().hex[:8]
        with lock.owned(self.out, run) as check_owner:
            stored = facts.read(self.out)
            now = self._facts(stored)
            if stored is not None:
                facts.check(stored, now, self.out.address)
            pending, skipped, failed = self._pending(manifest)
            if progress is not None:
                progress(skipped, len(manifest))
            if not len(pending):
                return Summary(0, skipped, failed, 0.0)
            task = None
            if now["engine"] == AUTO or address == LOCAL:
                wanted = dataclasses.replace(self.options, engine=now["engine"])
                task = tasks.load(wanted, len(manifest))
            if now["engine"] == AUTO:
                now["engine"] = self._fastest(task, pending)
            merged = sorted({*now["sources"], *(stored or {}).get("sources", ())})
            now["sources"] = merged
            if stored != now:
                facts.write(self.out, now)
            plan = self._plan(run, now, manifest)
            self.out.remove(RUNS)  # of runs that were killed
            start, done = time.perf_counter(), 0
            try:
                chunks = write_manifest(plan, pending, self.rows)
                with contextlib.closing(self._parts(address, plan, chunks, task)) as found:
                    for part in found:
                        check_owner()
                        commit(plan, part)
                        done, failed = done + part.rows, failed + part.failed
                        if progress is not None:
                            progress(skipped + done, len(manifest))
            finally:
                self.out.remove(RUNS)
            if done != len(pending):
                raise RuntimeError(
                    f"{len(pending) - done} of {len(pending)} images were not computed; run again."
                )
            return Summary(done, skipped, failed, time.perf_counter() - start)

    def write_sorted(self, path: str | os.PathLike) -> int:
        """Write one Parquet file with all results, sorted by id.

        Args:
            path: of the file, which is not in the folder of the results.
        Returns:
            How many rows it has.
        Raises:
            ValueError: there are no results, or the file would be among them.
            OSError: it cannot be written.
        """
        self.check_sorted(path)
        return results.write_sorted(self.out, os.path.abspath(path))

    def check_sorted(self, path: str | os.PathLike) -> None:
        """Refuse what `write_sorted` could not write, before all is computed.

        Args:
            path: of the file.
        Raises:
            ValueError: the file would be among the results.
            OSError: it is a folder, or its folder is not there.
        """
        path = os.path.abspath(path)
        folder = os.path.dirname(path)
        if os.path.realpath(folder) == self.out.place:
            raise ValueError(f"{path} would be among the results, each id twice; name another.")
        if os.path.isdir(path):
            raise IsADirectoryError(f"{path} is a folder; give the name of a file.")
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"{path}: there is no folder {folder!r}; create it.")

    def _address(self, address: str | None) -> str:
        address = address or (LOCAL if self.workers == 1 else on_ray.HERE)
        if address == LOCAL and self.workers > 1:
            raise ValueError(f"{self.workers} workers need Ray: pass another address than 'local'.")
        if address != LOCAL:
            on_ray.check_installed()
        return address

    def _facts(self, stored: dict[str, Any] | None) -> dict[str, Any]:
        """What decides the results; an engine that is left to be chosen is the one of before."""
        from keras_pvt import default_backend
        from keras_pvt.batch.identity import of_model

        own = self.options.facts()
        if own["engine"] == AUTO and stored is not None:
            own["engine"] = stored.get("engine")
        found = {
            "version": facts.VERSION,
            "task": self.options.task,
            "model": of_model(self.options),
            **own,
            "backend": default_backend.chosen(),
            "keras_pvt": version("keras_pvt"),
            "sources": places(self.sources),
        }
        return json.loads(json.dumps(found))  # as the stored ones are

    def _pending(self, manifest: "pa.Table") -> tuple["pa.Table", int, int]:
        """What is to be done, and how many ids are there, and how many of these failed."""
        import pyarrow.compute as pc

        found = results.read_ids(self.out)
        if found is not None and self.retry:
            found = results.forget_failed(self.out, found)
        if found is None:
            return manifest, 0, 0
        ids = found.column("id")
        if ids.type != manifest.column("id").type:
            raise ValueError(
                f"ids in {self.out.address} are {ids.type}, and those of the source are "
                f"{manifest.column('id').type}."
            )
        there = pc.is_in(manifest.column("id"), ids.combine_chunks())
        failed = pc.sum(found.column("failed")).as_py()
        return manifest.filter(pc.invert(there)), pc.sum(there).as_py() or 0, failed

    def _fastest(self, task: Any, pending: "pa.Table") -> str:
        """The engine that the first images are computed by, where that is left to be chosen."""
        from keras_pvt.batch.sources.content import Contents
        from keras_pvt.batch.sources.row import Row

        contents = Contents(self.columns.content)
        rows = [Row(**row) for row in pending.slice(0, self.batch_size).to_pylist()]
        for _ in task.answers(map(contents.source, rows), min(self.batch_size, len(rows))):
            pass
        return getattr(task.network, "engine", None) or "keras"

    def _plan(self, run: str, now: dict[str, Any], manifest: "pa.Table") -> Plan:
        options = dataclasses.replace(self.options, engine=now["engine"])
        known = {name: value for name, value in now.items() if name != "sources"}
        known["fingerprint"] = facts.fingerprint(now)
        form = results.schema(options, manifest.schema.field("id").type, known)
        # The commands give a model no more images at once than there are.
        size = min(self.batch_size, len(manifest))
        return Plan(options, self.out, run, form, size, self.columns.content, len(manifest))

    def _parts(
        self, address: str, plan: Plan, chunks: int, task: Any
    ) -> Generator[Part, None, None]:
        if address == LOCAL:
            with contextlib.closing(Worker(plan, task)) as worker:
                yield from map(worker.compute, range(chunks))
            return
        needs = on_ray.Needs(self.workers, self.cpus, self.gpus, self.memory)
        yield from on_ray.parts(plan, chunks, address, needs)
