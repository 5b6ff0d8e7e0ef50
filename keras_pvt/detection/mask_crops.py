"""True masks of objects as a mask head has to give them."""

from keras import ops

from keras_pvt.detection.roi_align import sample_weights


def crop_masks(masks, boxes, index, size: int):
    """What a mask head has to say of boxes: which of their parts are of an object.

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
