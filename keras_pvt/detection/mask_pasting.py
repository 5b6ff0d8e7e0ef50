"""Masks of boxes laid on the image that they are of."""

import numpy as np


def paste_masks(
    masks: np.ndarray,
    boxes: np.ndarray,
    height: int,
    width: int,
    threshold: float = 0.5,
) -> np.ndarray:
    """Which pixels of an image each object covers.

    A mask is stretched over its box, bilinearly between the middles of its cells, and fades to 0
    within half a cell outside. Only pixels at the box are computed.

    Args:
        masks: probabilities, 0 to 1, float `(N, m, n)`, m parts of a box from top to bottom and n
            from left to right, as `MaskRCNN.detector` gives them.
        boxes: "xyxy" in pixels, float `(N, 4)`; they may reach out of the image. One without
            area, or with a NaN or an infinity, covers nothing.
        height: of the image in pixels.
        width: of the image in pixels.
        threshold: probability from which on a pixel is covered, above 0, at most 1.
    Returns:
        bool `(N, height, width)`.
    Raises:
        ValueError: other shapes; a threshold outside its range.
    Source:
        mmdetection 2.13 mmdet/models/roi_heads/mask_heads/fcn_mask_head.py, with the middle of a
        pixel at 0.5.
    """
    masks, boxes = np.asarray(masks, "float32"), np.asarray(boxes, "float64")
    if masks.ndim != 3 or boxes.shape != (len(masks), 4):
        raise ValueError(
            f"masks must be (N, m, n) and boxes (N, 4), N the same; got {masks.shape} and "
            f"{boxes.shape}."
        )
    if not 0 < threshold <= 1:
        raise ValueError(f"`threshold` must be above 0 and at most 1; got {threshold!r}.")
    pasted = np.zeros((len(masks), height, width), bool)
    for whole, mask, box in zip(pasted, masks, boxes, strict=True):
        if not np.isfinite(box).all():
            continue
        left, top, right, bottom = box
        rows, down = _stretched(top, bottom, mask.shape[0], height)
        columns, across = _stretched(left, right, mask.shape[1], width)
        whole[rows, columns] = down @ mask @ across.T >= threshold
    return pasted


def _stretched(low: float, high: float, parts: int, size: int) -> tuple[slice, np.ndarray]:
    """Pixels that an interval reaches, and the weights of its parts in each `(pixels, parts)`."""
    if high <= low:
        return slice(0), np.zeros((0, parts), "float32")
    margin = (high - low) / (2 * parts)
    first, last = np.clip([low - margin - 0.5, high + margin + 0.5], 0, size)
    pixels = np.arange(int(first), int(np.ceil(last)))
    # Where the middle of a pixel lies, 0 in the middle of the first part.
    place = (pixels + 0.5 - low) / (high - low) * parts - 0.5
    weights = np.maximum(0, 1 - abs(place[:, None] - np.arange(parts)))
    return slice(int(first), int(first) + len(pixels)), weights.astype("float32")
