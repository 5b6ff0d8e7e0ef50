"""Something done to each item by threads, with a bar."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.progress import track

from keras_pvt.utils.image_files import processors


def each(function: Callable[[Any], Any], items: Sequence, description: str) -> list:
    """What a function gives for each item, in order; a thread for each processor.

    Args:
        function: of an item.
        items: to be worked on.
        description: what the bar says; it is drawn on terminals only.
    """
    console = Console(stderr=True)
    with ThreadPoolExecutor(processors()) as pool:
        results = pool.map(function, items)
        return list(
            track(
                results,
                description,
                len(items),
                console=console,
                disable=not console.is_terminal,
            )
        )
