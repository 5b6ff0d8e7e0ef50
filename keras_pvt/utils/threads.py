"""Work done by threads: results made ahead, and a bar that shows how far it is."""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

_share: int | None = None  # of this process, where others share the machine


def processors() -> int:
    """Processors that this process may use."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Windows and macOS
        count = os.cpu_count() or 1
    return count if _share is None else min(count, _share)


def share_processors(count: int) -> None:
    """Have `processors` say so many at most, from now on in this process.

    Args:
        count: of processors; each may decode an image, which bounds memory too.
    """
    global _share
    _share = count


def prefetched(
    pool: concurrent.futures.Executor, function: Callable, items: Iterable, count: int
) -> Iterator:
    """`map` in threads, with at most `count` results made ahead."""
    results: collections.deque[concurrent.futures.Future] = collections.deque()
    for item in items:
        results.append(pool.submit(function, item))
        if len(results) > count:
            yield results.popleft().result()
    while results:
        yield results.popleft().result()


def each(function: Callable[[Any], Any], items: Sequence, description: str) -> list:
    """What a function gives for each item, in order; a thread for each processor.

    Args:
        function: of an item.
        items: to be worked on.
        description: what the bar says; it is drawn on terminals only.
    """
    with concurrent.futures.ThreadPoolExecutor(processors()) as pool:
        return list(with_bar(pool.map(function, items), len(items), description))


def with_bar(results: Iterable, count: int, description: str, shown: bool = True) -> Iterable:
    """The results, while a bar on stderr shows how many there are; on terminals only.

    Args:
        results: to go through.
        count: how many there will be.
        description: what the bar says.
        shown: False draws none.
    """
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(
        results,
        description,
        count,
        console=console,
        transient=True,
        disable=not (shown and console.is_terminal),
    )
