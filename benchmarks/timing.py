"""Fair timing on a machine that others use too: contenders take turns, medians are compared."""

import gc
import os
import random
import statistics
import time
from collections.abc import Callable


def limit_threads(threads: int | None) -> int:
    """Give this process `threads` cores, by default all it may use; call before importing Keras.

    Every library sizes its pool by the cores that the process may run on, so that one limit
    holds for all of them alike.

    Returns:
        The number of threads.
    Raises:
        ValueError: more threads than cores.
    """
    cores = sorted(os.sched_getaffinity(0))
    threads = len(cores) if threads is None else threads
    if not 1 <= threads <= len(cores):
        raise ValueError(f"--threads must be 1 to {len(cores)}, the cores here; got {threads}.")
    os.sched_setaffinity(0, cores[:threads])
    return threads


def interleave(
    calls: dict[str, Callable],
    seconds: float,
    min_rounds: int = 5,
    warm_ups: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Time calls in rounds, each call once a round, in an order that is shuffled anew.

    Args:
        calls: name to what is timed.
        seconds: stop after this time, once `min_rounds` are done.
        min_rounds: rounds at least.
        warm_ups: calls of each before, for compilers and caches.
        clock: what is measured, in seconds; `time.process_time` for the time of the processor.
    Returns:
        Name to median time in milliseconds.
    """
    for call in calls.values():
        for _ in range(warm_ups):
            call()
    order, shuffle = list(calls), random.Random(0).shuffle
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    gc.collect()
    while time.perf_counter() < end or len(times[order[0]]) < min_rounds:
        shuffle(order)
        for name in order:
            start = clock()
            calls[name]()
            times[name].append(clock() - start)
    return {name: 1000 * statistics.median(values) for name, values in times.items()}
