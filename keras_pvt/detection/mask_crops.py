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
    batch, objects, height, width = ops.shape(masks)
    count = ops.shape(boxes)[1]
    first = ops.expand_dims(ops.arange(0, batch, dtype="int32") * objects, 1)
    flat = ops.reshape(masks, (batch * objects, height, width))

    # One at a time: an image's masks are large.
    def cropped(one):
        number, box = one
        mask = ops.cast(ops.take(flat, number, axis=0), "float32")
        left, top, right, bottom = (box[n] - 0.5 for n in range(4))
        down = sample_weights(top, bottom, ops.cast(height, "int32"), size, height)
        across = sample_weights(left, right, ops.cast(width, "int32"), size, width)
        return ops.matmul(ops.matmul(down, mask), ops.transpose(across))

    places = ops.reshape(first + index, (-1,))
    found = ops.map(cropped, (places, ops.reshape(boxes, (-1, 4))))
    return ops.reshape(found, (batch, count, size, size)) >= 0.5
