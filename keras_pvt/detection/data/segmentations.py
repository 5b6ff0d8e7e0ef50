"""Outlines of objects as COCO writes them, polygons and run lengths, as masks and back.

Decoding and encoding are pycocotools' (the extra "detection").
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

# Polygons, each x and y in turn; or {"size": (height, width), "counts": run lengths}.
Segmentation = Sequence[Sequence[float]] | Mapping


def checked(segmentation, size: tuple[int, int]) -> Segmentation | None:
    """A segmentation from a file, or None if it is not one.

    Args:
        segmentation: the entry in the file, of any type.
        size: (height, width) of its image, which run lengths have to fit.
    """
    if isinstance(segmentation, Mapping):
        counts = segmentation.get("counts")
        try:
            fits = tuple(segmentation.get("size", ())) == tuple(size)
        except TypeError:
            return None
        if isinstance(counts, list):
            whole = all(isinstance(n, int) and n >= 0 for n in counts)
            fits = fits and whole and sum(counts) == size[0] * size[1]
        else:
            fits = fits and isinstance(counts, str | bytes)
        return segmentation if fits else None
    try:
        polygons = [np.array(polygon, "float64") for polygon in segmentation]
    except (TypeError, ValueError):
        return None
    usable = [
        polygon.tolist()
        for polygon in polygons
        if polygon.ndim == 1 and polygon.size >= 6 and polygon.size % 2 == 0
        and np.isfinite(polygon).all()
    ]  # fmt: skip
    return usable if usable and len(usable) == len(polygons) else None


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
