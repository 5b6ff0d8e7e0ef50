"""Outlines of objects as COCO writes them, polygons and run lengths, as masks and back.

Decoding and encoding are pycocotools' (the extra "detection").
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

# Polygons, each x and y in turn; or {"size": (height, width), "counts": run lengths}.
Segmentation = Sequence[Sequence[float]] | Mapping

MOST_DIGITS = 6  # of a run length in a compressed string: 2 ** 29 pixels


class OutlineError(ValueError):
    """A segmentation cannot be used; the message says what it is, as a kind of a report."""


def checked(segmentation, size: tuple[int, int]) -> Segmentation:
    """A segmentation from a file, every run of which is counted.

    pycocotools takes run lengths as they come, and reads and writes beyond its memory where they
    are cut off or do not fill the image.

    Args:
        segmentation: the entry in the file, of any type.
        size: (height, width) of its image, which run lengths have to fill.
    Raises:
        OutlineError: it is none, or not of this image.
    """
    if isinstance(segmentation, Mapping):
        return _checked_runs(segmentation, size)
    if not segmentation or isinstance(segmentation, str | int | float):
        raise OutlineError("object without an outline, polygons or run lengths")
    polygons = [_polygon(corners, size) for corners in segmentation]
    return [polygon.tolist() for polygon in polygons]


def _polygon(corners, size: tuple[int, int]) -> np.ndarray:
    try:
        polygon = np.array(corners, "float64")
    except (TypeError, ValueError, OverflowError):
        polygon = np.empty(0)
    if polygon.ndim != 1 or polygon.size < 6 or polygon.size % 2 or not np.isfinite(polygon).all():
        raise OutlineError("polygon that is not three or more corners, x and y in turn")
    # The time and memory that pycocotools takes grow with the length of the edges.
    sides = np.array(size[::-1])
    xy = polygon.reshape(-1, 2)
    if (xy < -sides).any() or (xy > 2 * sides).any():
        raise OutlineError("polygon that reaches out of its image by more than the image's size")
    return polygon


def _checked_runs(segmentation: Mapping, size: tuple[int, int]) -> Mapping:
    counts, own = segmentation.get("counts"), segmentation.get("size")
    if not isinstance(own, Sequence) or tuple(own) != tuple(size):
        raise OutlineError("run lengths of another size than their image")
    if isinstance(counts, str | bytes):
        runs = _decoded(counts)
    elif isinstance(counts, list) and all(isinstance(count, int) for count in counts):
        runs = counts
    else:
        runs = None
    if runs is None or not len(runs) or min(runs) < 0:
        raise OutlineError("run lengths that cannot be read")
    if sum(runs) != size[0] * size[1]:
        raise OutlineError("run lengths that do not fill their image")
    return {"size": list(size), "counts": counts}


def _decoded(text: str | bytes) -> list[int] | None:
    """The run lengths in a compressed string, or None if it cannot be one.

    A number is digits of 5 bits, the lowest first, each plus 48 and, if another follows, 32; the
    highest bit of the last one is the sign. From the fourth on, numbers are differences to the one
    before the last.

    Source:
        cocodataset/cocoapi common/maskApi.c, `rleFrString`.
    """
    if isinstance(text, str):
        text = text.encode(errors="replace")
    digits = np.frombuffer(text, "uint8").astype("int64") - 48
    last = digits & 32 == 0
    if not digits.size or digits.min() < 0 or digits.max() > 63 or not last[-1]:
        return None
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > MOST_DIGITS:
        return None
    places = np.arange(digits.size) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((digits & 31) << 5 * places, starts)
    numbers -= np.where(digits[ends] & 16, 1 << 5 * lengths, 0)
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    return numbers.tolist()


def mask(segmentation: Segmentation, size: tuple[int, int]) -> np.ndarray:
    """The pixels of an object, uint8 `(H, W)`, 0 or 1; polygons together.

    Args:
        segmentation: as `checked` gives it.
        size: (height, width) of the image.
    Raises:
        ValueError: run lengths that pycocotools cannot read.
    """
    from pycocotools import mask as coco

    height, width = size
    if not isinstance(segmentation, Mapping):
        runs = coco.merge(coco.frPyObjects(segmentation, height, width))
    elif isinstance(segmentation["counts"], list):
        runs = coco.frPyObjects(segmentation, height, width)
    else:
        runs = segmentation
    decoded = coco.decode(runs)
    if decoded.shape != (height, width):
        raise ValueError(f"run lengths of an image of {decoded.shape} for one of {size}.")
    return decoded


def run_lengths(masks: Iterable[np.ndarray]) -> list[dict]:
    """Masks, bool `(H, W)` each, as compressed run lengths whose "counts" JSON can hold."""
    from pycocotools import mask as coco

    found = [coco.encode(np.asfortranarray(own, "uint8")) for own in masks]
    return [{"size": list(one["size"]), "counts": one["counts"].decode()} for one in found]


def area_of(runs: Mapping) -> int:
    """Pixels of compressed run lengths."""
    from pycocotools import mask as coco

    return int(coco.area(runs))
