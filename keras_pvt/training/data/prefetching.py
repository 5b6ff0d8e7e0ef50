"""Threads that make batches before they are asked for."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

AHEAD = 2  # batches; few, as they are large
_starting = threading.Lock()  # one for all, as a lock cannot be pickled


class Prefetcher:
    """Threads for the images of a batch, and one for each batch that is put together.

    They start when they are needed first, and again after `close`. A copy made by pickling has
    threads of its own. Keras's own workers will not do: what they made of an epoch that was not
    finished, as when `fit` builds a model by a batch, they hand out in the next one.

    Args:
        threads: for images.
    """

    def __init__(self, threads: int):
        self.threads = threads
        self._pools: tuple[ThreadPoolExecutor, ThreadPoolExecutor] | None = None
        self._batches: dict[int, Future] = {}
        self._next = 0

    def batch(self, make: Callable[[int, Callable], Any], index: int, count: int) -> Any:
        """What `make` gives for an index; of `count`, the next ones are begun.

        They are not where indices come in no order: it would be for nothing.

        Args:
            make: of an index, and of a `map` that uses the threads for images.
            index: what is asked for.
            count: of indices.
        """
        with _starting:
            images, pool = self._started()
            begun = AHEAD if index == self._next else 0
            self._next = index + 1
            indices = range(index, min(count, index + 1 + begun))
            batches = {n: self._batches.get(n) or pool.submit(make, n, images.map) for n in indices}
            asked = batches.pop(index)
            self._batches = batches
        return asked.result()

    def close(self) -> None:
        """End the threads; what they have made is dropped."""
        with _starting:
            pools, self._pools, self._batches, self._next = self._pools, None, {}, 0
        for pool in pools or ():
            pool.shutdown(cancel_futures=True)

    def _started(self) -> tuple[ThreadPoolExecutor, ThreadPoolExecutor]:
        if self._pools is None:
            self._pools = (
                ThreadPoolExecutor(self.threads, "images"),
                ThreadPoolExecutor(AHEAD, "batches"),
            )
        return self._pools

    def __getstate__(self):
        return vars(Prefetcher(self.threads))
