"""Which engine is the fastest here: measured once on a machine, and remembered in the cache."""

import logging
import platform
import time
from collections.abc import Callable, Mapping

import numpy as np

from keras_pvt import default_backend
from keras_pvt.engines import cache, fingerprint
from keras_pvt.engines.table import ENGINES, KERAS
from keras_pvt.utils.threads import processors

logger = logging.getLogger("keras_pvt.engines")

# Of each contender; the fastest run counts, as others may use the machine.
_RUNS = 3
# Images that are measured.
MOST = 8

Predict = Callable[[np.ndarray], object]


def machine() -> str:
    """What tells a machine from others that share the folder."""
    backend = default_backend.chosen()
    return f"{platform.node()}, {_processor()}, {processors()} processors, {backend}"


def _processor() -> str:
    """The name of the processor, as Linux tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line for line in file if line.startswith("model name")]
        return names[0].split(":", 1)[1].strip()
    except (OSError, IndexError):
        return platform.processor() or platform.machine()


def remembered(kind: str, engines: list[str]) -> str | None:
    """The fastest of some engines, where these were measured on this machine.

    Args:
        kind: of computation, such as its precision.
        engines: that are installed.
    Returns:
        The name of an engine, or "keras"; None: not measured, or others were.
    """
    known = cache.read_table(cache.folder() / cache.MEASURED).get(machine())
    found = known.get(kind) if isinstance(known, dict) else None
    if not isinstance(found, dict) or found.get("versions") != _versions(engines):
        return None
    times = found.get("milliseconds")
    return min(times, key=lambda name: times[name]) if isinstance(times, dict) else None


def measured(kind: str, engines: list[str], contenders: Mapping[str, Predict], images) -> str:
    """Measure, and remember.

    Args:
        kind: of computation.
        engines: that are installed, also where one of them cannot compute this model.
        contenders: what computes the same, by the names of the engines; each has run before.
        images: that they compute.
    Returns:
        The name of the fastest.
    """
    images = images[:MOST]
    times = {name: _milliseconds(predict, images) for name, predict in contenders.items()}
    each = ", ".join(f"{name} {ms:.1f}" for name, ms in times.items())
    logger.info("milliseconds an image, remembered for this machine: %s", each)
    path = cache.folder() / cache.MEASURED
    try:
        with cache.locked(path):
            table = cache.read_table(path)
            own = table.get(machine())
            found = {"versions": _versions(engines), "milliseconds": times}
            table[machine()] = {**(own if isinstance(own, dict) else {}), kind: found}
            cache.write_table(path, table)
    except OSError as error:
        logger.warning("what was measured cannot be kept: %s", error)
    return min(times, key=lambda name: times[name])


def _milliseconds(predict: Predict, images) -> float:
    """Of an image, in the fastest of some runs."""
    times = []
    for _ in range(_RUNS):
        start = time.perf_counter()
        predict(images)
        times.append(time.perf_counter() - start)
    return 1000 * min(times) / len(images)


def _versions(engines: list[str]) -> dict[str, str]:
    names = {name: ENGINES[name].package for name in engines} | {KERAS: KERAS}
    return {name: fingerprint.version(package) for name, package in names.items()}
