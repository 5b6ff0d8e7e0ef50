"""A run in this process: a plain loop."""

from collections.abc import Generator
from typing import Any

from keras_pvt.batch.plan import Part, Plan, Worker


def parts(plan: Plan, chunks: int, task: Any) -> Generator[Part, None, None]:
    """Compute every chunk.

    Args:
        plan: of the run.
        chunks: how many there are.
        task: that is loaded already, or None.
    Yields:
        The file of each chunk.
    """
    worker = Worker(plan, task)
    try:
        for chunk in range(chunks):
            yield worker.compute(chunk)
    finally:
        worker.close()
