"""Where captions of boxes go, so that they hide neither objects nor one another."""

from collections.abc import Sequence

import numpy as np

# A caption that would hide more than this of any box is left out.
MOST_HIDDEN = 0.25
LATER = 0.005  # share of a box that may be hidden for a place that is one better


def places(
    boxes: np.ndarray, sizes: Sequence[tuple[int, int] | None], picture: tuple[int, int]
) -> list[tuple[int, int] | None]:
    """A place for the caption of each box: near it, where it hides least.

    Args:
        boxes: `(N, 4)` xyxy in pixels; captions of the first ones have the first choice.
        sizes: N of (width, height) in pixels of a caption; None for a box without one.
        picture: (width, height) in pixels.
    Returns:
        N of (left, top), or None: without a caption, or it would hide more than `MOST_HIDDEN` of
        a box, lie on another caption or reach out of the picture wherever it went.
    """
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    areas = np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1)
    taken = np.zeros((0, 4))
    found: list[tuple[int, int] | None] = []
    for box, size in zip(boxes, sizes, strict=True):
        best = None
        if size is not None:
            candidates = _candidates(box, size, picture)
            hidden = _overlaps(candidates, boxes) / areas
            free = (hidden <= MOST_HIDDEN).all(axis=1) & ~_overlaps(candidates, taken).any(axis=1)
            if free.any():
                cost = hidden.sum(axis=1) + LATER * np.arange(len(candidates))
                cost[~free] = np.inf
                best = candidates[cost.argmin()]
                taken = np.concatenate([taken, best[None]])
        found.append(None if best is None else (int(best[0]), int(best[1])))
    return found


def _candidates(box: np.ndarray, size: tuple[int, int], picture: tuple[int, int]) -> np.ndarray:
    """Places for a caption, `(N, 4)` xyxy, the best first: around the box, in it, near it."""
    left, top, right, bottom = np.array([*np.floor(box[:2]), *np.ceil(box[2:])], int)
    width, height = size
    start, end, middle = left, right - width, (top + bottom - height) // 2
    corners = [
        *((x, top - height) for x in (start, end)),
        *((x, bottom) for x in (start, end)),
        *((x, y) for x in (left - width, right) for y in (top, middle, bottom - height)),
        *((x, y) for y in (top, bottom - height) for x in (start, end)),
        *((x, y) for y in (top - 2 * height, bottom + height) for x in (start, end)),
    ]
    limits = np.array(picture) - size  # below 0 for a caption that the picture has no room for
    inside = np.clip(corners, 0, np.maximum(limits, 0))
    found = np.concatenate([inside, inside + size], axis=1)
    return found if (limits >= 0).all() else found[:0]


def _overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Pixels that each of `(N, 4)` has in common with each of `(M, 4)`: `(N, M)`."""
    starts = np.maximum(first[:, None, :2], second[:, :2])
    ends = np.minimum(first[:, None, 2:], second[:, 2:])
    return np.prod(np.maximum(ends - starts, 0), axis=-1)
