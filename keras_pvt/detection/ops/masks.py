"""Masks of boxes: cropped for training, as probabilities, and pasted into images."""

import keras
import numpy as np
from keras import ops

from keras_pvt.detection.ops.roi_align import sample_weights
from keras_pvt.layers import base


def crop_masks(masks, boxes, index, size: int):
    """The targets of a mask head: which parts of each box are of its object.

    Args:
        masks: 0 or 1, tensor `(B, G, H, W)`.
        boxes: "xyxy" in pixels, float tensor `(B, N, 4)`.
        index: int32 tensor `(B, N)`: the object of each box, 0 to G - 1.
        size: parts of a box, each way.
    Returns:
        bool `(B, N, size, size)`.
    Source:
        mmdetection 2.13 mmdet/core/mask/structures.py, BitmapMasks.crop_and_resize: RoIAlign of
        the mask, from one half on.
    """
    if masks.shape[1] == 0:
        masks = ops.pad(masks, ((0, 0), (0, 1), (0, 0), (0, 0)))
    batch, objects, height, width = ops.shape(masks)
    count = ops.shape(boxes)[1]
    first = ops.expand_dims(ops.arange(0, batch, dtype="int32") * objects, 1)
    flat = ops.reshape(masks, (batch * objects, height, width))

    edges = boxes - 0.5
    cells = [ops.convert_to_tensor(side, dtype="int32") for side in (height, width)]
    down = sample_weights(edges[..., 1], edges[..., 3], cells[0], size, height)
    across = sample_weights(edges[..., 0], edges[..., 2], cells[1], size, width)

    # One at a time: an image's masks are large.
    def cropped(one):
        number, rows, columns = one
        mask = ops.cast(ops.take(flat, number, axis=0), "float32")
        return ops.matmul(ops.matmul(rows, mask), ops.transpose(columns))

    places = ops.reshape(first + index, (-1,))
    down = ops.reshape(down, (batch * count, size, height))
    across = ops.reshape(across, (batch * count, size, width))
    found = ops.map(cropped, (places, down, across))
    return ops.reshape(found, (batch, count, size, size)) >= 0.5


@base.register
class MaskProbabilities(keras.layers.Layer):
    """Probabilities of masks from the logits of `MaskHead`; zeros where there is no box.

    Call arguments:
        logits: float tensor `(B, N, m, m)`.
        classes: int tensor `(B, N)`, -1 where there is no box.
    Returns:
        `(B, N, m, m)`, 0 to 1.
    """

    def call(self, logits, classes):
        found = ops.expand_dims(ops.expand_dims(classes >= 0, -1), -1)
        return ops.where(found, ops.sigmoid(logits), 0.0)


def paste_masks(
    masks: np.ndarray, boxes: np.ndarray, height: int, width: int, threshold: float = 0.5
) -> np.ndarray:
    """Which pixels of an image each object covers.

    A mask is stretched over its box, bilinearly between the middles of its parts, and fades to 0
    within half a part outside. Only pixels at the box are computed.

    Args:
        masks: `(N, m, n)` float, 0 to 1, as `MaskRCNN.detector` gives them.
        boxes: "xyxy" in pixels, `(N, 4)`; they may reach out of the image. One without area, or
            with a NaN or an infinity, covers nothing.
        height: of the image in pixels.
        width: of the image in pixels.
        threshold: probability from which on a pixel is covered, above 0, at most 1.
    Returns:
        bool `(N, height, width)`. All masks of a large image take gigabytes: pass a few at a
        time.
    Raises:
        ValueError: other shapes; a threshold outside its range.
    Source:
        mmdetection 2.13 mmdet/models/roi_heads/mask_heads/fcn_mask_head.py, _do_paste_mask.
    """
    masks, boxes = np.asarray(masks, "float32"), np.asarray(boxes, "float64")
    if masks.ndim != 3 or boxes.shape != (len(masks), 4):
        raise ValueError(
            f"masks must be (N, m, n), boxes (N, 4); got {masks.shape} and {boxes.shape}."
        )
    if not 0 < threshold <= 1:
        raise ValueError(f"`threshold` must be above 0, at most 1; got {threshold!r}.")
    pasted = np.zeros((len(masks), height, width), bool)
    for own, box, target in zip(masks, boxes, pasted, strict=True):
        if np.isfinite(box).all() and (box[2:] > box[:2]).all():
            left, top, right, bottom = box
            rows, down = _stretched(top, bottom, own.shape[0], height)
            columns, across = _stretched(left, right, own.shape[1], width)
            target[rows, columns] = down @ own @ across.T >= threshold
    return pasted


def _stretched(low: float, high: float, parts: int, size: int) -> tuple[slice, np.ndarray]:
    """The pixels that an interval reaches, and how much of each part they have."""
    margin = (high - low) / (2 * parts) + 1
    first, last = np.clip([np.floor(low - margin), np.ceil(high + margin)], 0, size).astype(int)
    # Where the middle of a pixel lies, 0 in the middle of the first part.
    place = (np.arange(first, last) + 0.5 - low) / (high - low) * parts - 0.5
    weights = np.maximum(0, 1 - abs(place[:, None] - np.arange(parts)))
    return slice(first, last), weights.astype("float32")
