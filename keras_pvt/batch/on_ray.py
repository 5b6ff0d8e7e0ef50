"""A run on Ray Data: a chunk is a block, and a worker an actor, which keeps its model.

Ray Data's own checkpoints are not used: they filter what was done after reading it, by actors that
want processors, and hang where there are none left. What is done is known before Ray is asked.
"""

import contextlib
import dataclasses
import logging
import os
import threading
from collections.abc import Generator, Iterator
from typing import Any

from keras_pvt.batch.plan import Part, Plan, Worker
from keras_pvt.utils.extras import needed_for
from keras_pvt.utils.threads import share_processors

logger = logging.getLogger("keras_pvt")

HERE = "here"
GIB = 1 << 30
# What bounds the threads that PyTorch, TensorFlow and JAX compute by. Of the first Ray takes a
# guess of its own; without the others each worker would take all processors of its machine.
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "PJRT_NPROC")
PATIENCE = 60.0  # seconds without a file of results, after which that is said


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a run asks a cluster for.

    Args:
        workers: actors with a model each.
        cpus: processors of each.
        gpus: of each.
        memory: GiB of each; None: is not asked for.
    """

    workers: int
    cpus: int = 1
    gpus: float = 0
    memory: float | None = None

    @property
    def of_a_worker(self) -> dict[str, float]:
        """By Ray's names."""
        found = {"CPU": self.cpus, "GPU": self.gpus, "memory": (self.memory or 0) * GIB}
        return {name: value for name, value in found.items() if value}

    def __str__(self):
        memory = "" if self.memory is None else f", {self.memory:g} GiB"
        gpus = f", {self.gpus:g} GPUs" if self.gpus else ""
        return f"{self.workers} workers of {self.cpus} CPUs{gpus}{memory}"


def check_installed() -> None:
    """Raise an ImportError that says what to install, where there is no Ray."""
    with needed_for("workers on Ray", "batch"):
        import ray.data  # noqa: F401


def parts(plan: Plan, chunks: int, address: str, needs: Needs) -> Generator[Part, None, None]:
    """Compute every chunk on a cluster.

    Args:
        plan: of the run.
        chunks: how many there are.
        address: "here" starts Ray on this machine; else that of a cluster.
        needs: of the run; there are no more workers than chunks.
    Yields:
        The file of each chunk, as they come.
    Raises:
        ValueError: the cluster has no room for the workers.
        OSError: there is no cluster, or what a worker cannot read or write.
        RuntimeError: what else a worker fails with.
    """
    import ray.data
    import ray.exceptions

    needs = dataclasses.replace(needs, workers=min(needs.workers, chunks))
    with _connected(address, needs):
        check_room(needs, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # which tells of each step
        # Not read by Ray, which would be tasks that want a processor beside those of the actors.
        numbers = ray.data.from_items(list(range(chunks)), override_num_blocks=chunks)
        computed = numbers.map_batches(
            _Actor,
            fn_constructor_args=(plan, needs.cpus),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=needs.workers),
            num_cpus=needs.cpus,
            num_gpus=needs.gpus or None,
            memory=None if needs.memory is None else needs.memory * GIB,
        )
        with _watched(needs) as came:
            try:
                for row in computed.iter_rows():
                    came()
                    yield Part(**row)
            except ray.exceptions.RayError as error:
                raise _own_error(error) from error


def check_room(needs: Needs, nodes: list[dict[str, float]]) -> None:
    """Refuse to start what would wait for ever.

    Args:
        needs: of the run.
        nodes: resources of each node of the cluster, by Ray's names.
    Raises:
        ValueError: there is room for fewer workers; says for how many.
    """
    wanted = needs.of_a_worker
    room = sum(int(min(node.get(name, 0) // wanted[name] for name in wanted)) for node in nodes)
    if room < needs.workers:
        there = "; ".join(
            f"{node.get('CPU', 0):g} CPUs, {node.get('GPU', 0):g} GPUs, "
            f"{node.get('memory', 0) / GIB:.1f} GiB"
            for node in nodes
        )
        raise ValueError(
            f"{needs} are wanted, and the cluster has room for {room}; its nodes have {there}. Ask "
            "for fewer, or less of each."
        )


class _Actor:
    """A worker, as Ray Data calls it."""

    def __init__(self, plan: Plan, cpus: int):
        share_processors(cpus)  # else each of the workers would read images by as many threads
        self._worker = Worker(plan)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list]:
        found = [self._worker.compute(int(chunk)) for chunk in batch["item"]]
        names = [field.name for field in dataclasses.fields(Part)]
        return {name: [getattr(part, name) for part in found] for name in names}


@contextlib.contextmanager
def _connected(address: str, needs: Needs) -> Iterator[None]:
    """Join a cluster, or start one; leave it, or end it."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    if ray.is_initialized():  # by who calls; it stays his
        yield
        return
    # That of `ray job submit` may name the same variables; Ray would refuse that.
    os.environ["RAY_OVERRIDE_JOB_RUNTIME_ENV"] = "1"
    env = dict.fromkeys(THREADS, str(needs.cpus))
    if "KERAS_BACKEND" in os.environ:
        env["KERAS_BACKEND"] = os.environ["KERAS_BACKEND"]
    options: dict[str, Any] = {"address": address}
    if address == HERE:
        options = {"address": "local", "include_dashboard": False}
    try:
        ray.init(
            **options,
            runtime_env={"env_vars": env},
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ValueError, OSError):
        raise
    except Exception as error:  # of no kind; a machine that is too busy has one
        raise OSError(f"Ray could not be started: {error}") from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _watched(needs: Needs) -> Iterator[Any]:
    """Say when nothing has come for long, and what the cluster has free; never wait in silence."""
    import ray

    event, ended = threading.Event(), threading.Event()

    def watch() -> None:
        while not ended.is_set():
            if event.wait(PATIENCE):
                event.clear()
            elif not ended.is_set():
                with contextlib.suppress(Exception):  # a cluster that is gone says so elsewhere
                    free = ray.available_resources()
                    logger.warning(
                        "no file of results came for %d s; %s are wanted, and the cluster has %g "
                        "CPUs and %g GPUs free",
                        PATIENCE,
                        needs,
                        free.get("CPU", 0),
                        free.get("GPU", 0),
                    )

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield event.set
    finally:
        ended.set()
        event.set()
        thread.join()


def _own_error(error: Exception) -> Exception:
    """What a worker failed with, without Ray's words around it."""
    found: BaseException = error
    while (cause := getattr(found, "cause", None) or found.__cause__) is not None:
        found = cause
    if isinstance(found, OSError | ValueError | ImportError) and type(found) is not type(error):
        return type(found)(*found.args)
    return RuntimeError(f"a worker failed: {found}")
