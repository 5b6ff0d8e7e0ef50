"""The box head and the mask head of Mask R-CNN, and the boxes that they give."""

import keras
from keras import ops

from keras_pvt.detection.ops import boxes as box_ops
from keras_pvt.detection.ops.box_deltas import decode
from keras_pvt.detection.ops.nms import at_least_float32
from keras_pvt.detection.ops.roi_align import roi_align
from keras_pvt.layers import base
from keras_pvt.layers.initial_values import FanOutNormal, Normal
from keras_pvt.models.convolution import conv_layer
from keras_pvt.ops import of_first_rows, take_rows, takes_windows_singly

BOX_PARTS, MASK_PARTS = 7, 14


@base.register
class BoxHead(base.Composite):
    """A class for each box, and deltas of the box for each class.

    Args:
        num_classes: K, without the background.
        width: of the two dense layers.
        finest: side of a cell of the finest map in pixels.
    Call arguments:
        maps: of a pyramid, the finest first, `(B, H, W, C)`.
        boxes: "xyxy" in pixels of the images, float tensor `(B, N, 4)`.
    Returns:
        class logits `(B, N, K + 1)`, the last of the background, and deltas `(B, N, K, 4)`: how
        the centre moves in sides of the box, and logarithms of the factors of its sides, in
        units of `DEVIATIONS`; float32 at least.
    Source:
        mmdetection 2.13 mmdet/models/roi_heads/bbox_heads/convfc_bbox_head.py.
    """

    def __init__(self, num_classes: int, width: int = 1024, finest: int = 4, **kwargs):
        # No autocast: boxes in half precision would be off by pixels.
        super().__init__(autocast=False, **kwargs)
        base.check_positive("BoxHead", num_classes=num_classes, width=width, finest=finest)
        self.num_classes, self.width, self.finest = num_classes, width, finest
        xavier = keras.initializers.VarianceScaling(1.0, "fan_avg", "untruncated_normal")

        def dense(width, name, initializer, **options):
            policy = base.inner_policy(self.dtype_policy, name)
            return keras.layers.Dense(
                width, kernel_initializer=initializer, dtype=policy, name=name, **options
            )

        self.fc0 = dense(width, "fc0", xavier, activation="relu")
        self.fc1 = dense(width, "fc1", xavier, activation="relu")
        self.class_logits = dense(num_classes + 1, "class_logits", Normal(stddev=0.01))
        self.box_deltas = dense(4 * num_classes, "box_deltas", Normal(stddev=0.001))

    def build(self, maps, boxes=None):
        self.fc0.build((None, None, BOX_PARTS**2 * maps[0][-1]))
        for layer in (self.fc1, self.class_logits, self.box_deltas):
            layer.build((None, None, self.width))
        self.built = True

    def call(self, maps, boxes):
        x = roi_align(maps, boxes, BOX_PARTS, self.finest)
        batch, count = ops.shape(boxes)[:2]
        x = ops.reshape(x, (batch, count, BOX_PARTS**2 * maps[0].shape[-1]))
        x = self.fc1(self.fc0(ops.cast(x, self.compute_dtype)))
        deltas = ops.reshape(self.box_deltas(x), (batch, count, self.num_classes, 4))
        return at_least_float32(self.class_logits(x)), at_least_float32(deltas)

    def compute_output_spec(self, maps, boxes):
        batch, count, _ = boxes.shape
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        return (
            keras.KerasTensor((batch, count, self.num_classes + 1), dtype),
            keras.KerasTensor((batch, count, self.num_classes, 4), dtype),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "width": self.width,
            "finest": self.finest,
        }


@base.register
class MaskHead(base.Composite):
    """Masks of boxes: which parts of a box are of an object of its class.

    Args:
        num_classes: K.
        width: of the convolutions.
        depth: convolutions before the map is doubled.
        finest: side of a cell of the finest map in pixels.
    Call arguments:
        maps: of a pyramid, the finest first, `(B, H, W, C)`.
        boxes: "xyxy" in pixels of the images, float tensor `(B, N, 4)`.
        classes: int tensor `(B, N)`; below 0 counts as 0.
        numbers: int tensor `(B,)`: how many boxes of each image matter, the first ones; what is
            given of others may be zeros. By default all do.
    Returns:
        logits `(B, N, 28, 28)`, float32 at least.
    Source:
        mmdetection 2.13 mmdet/models/roi_heads/mask_heads/fcn_mask_head.py.
    """

    def __init__(
        self, num_classes: int, width: int = 256, depth: int = 4, finest: int = 4, **kwargs
    ):
        super().__init__(autocast=False, **kwargs)
        base.check_positive("MaskHead", num_classes=num_classes, width=width, depth=depth)
        self.num_classes, self.width, self.depth, self.finest = num_classes, width, depth, finest
        policy = self.dtype_policy
        self.convs = [
            conv_layer(width, 3, policy, f"conv{n}", activation="relu") for n in range(depth)
        ]
        self.upsample = keras.layers.Conv2DTranspose(
            width,
            2,
            strides=2,
            data_format="channels_last",
            activation="relu",
            kernel_initializer=FanOutNormal(),
            dtype=base.inner_policy(policy, "upsample"),
            name="upsample",
        )
        self.logits = conv_layer(num_classes, 1, policy, "logits")

    def build(self, maps, boxes=None, classes=None, numbers=None):
        channels = maps[0][-1]
        for layer in (*self.convs, self.upsample, self.logits):
            layer.build((None, MASK_PARTS, MASK_PARTS, channels))
            channels = self.width
        self.built = True

    def call(self, maps, boxes, classes, numbers=None):
        if numbers is None or not takes_windows_singly(maps, boxes):
            return self._logits(maps, boxes, classes)
        return of_first_rows(
            lambda *of_boxes: self._logits(maps, *of_boxes), numbers, boxes, classes
        )

    def _logits(self, maps, boxes, classes):
        x = roi_align(maps, boxes, MASK_PARTS, self.finest)
        x = ops.reshape(x, (-1, MASK_PARTS, MASK_PARTS, maps[0].shape[-1]))
        x = ops.cast(x, self.compute_dtype)
        for layer in (*self.convs, self.upsample, self.logits):
            x = layer(x)
        side = 2 * MASK_PARTS
        x = ops.transpose(ops.reshape(x, (-1, side * side, self.num_classes)), (0, 2, 1))
        own = ops.reshape(ops.maximum(ops.cast(classes, "int32"), 0), (-1, 1))
        batch, count = ops.shape(boxes)[:2]
        return ops.reshape(take_rows(at_least_float32(x), own), (batch, count, side, side))

    def compute_output_spec(self, maps, boxes, classes, numbers=None):
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        return keras.KerasTensor((*boxes.shape[:2], 2 * MASK_PARTS, 2 * MASK_PARTS), dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "width": self.width,
            "depth": self.depth,
            "finest": self.finest,
        }


# The box head's deltas are in units of these: mmdetection's target_stds.
DEVIATIONS = (0.1, 0.1, 0.2, 0.2)


@base.register
class ClassBoxes(keras.layers.Layer):
    """Decodes what the box head gives: a box and a score for each proposal and class.

    Call arguments:
        proposals: "xyxy" in pixels of the images, float tensor `(B, N, 4)`.
        scores: `(B, N)`, below 0 where there is no proposal.
        class_logits: float tensor `(B, N, K + 1)`, the last of the background.
        box_deltas: float tensor `(B, N, K, 4)`.
        images: the images `(B, H, W, channels)`, to which boxes are clipped; or None.
        sizes: instead of `images`, tensor `(B, 2)`, the (height, width) in pixels of the images
            without padding on their right and below.
    Returns:
        boxes `(B, N, K, 4)`, clipped, and probabilities `(B, N, K)`, 0 where there is no proposal.
    Source:
        mmdetection 2.13 mmdet/models/roi_heads/bbox_heads/bbox_head.py, get_bboxes.
    """

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.built = True

    def call(self, proposals, scores, class_logits, box_deltas, images=None, sizes=None):
        deviations = ops.convert_to_tensor(DEVIATIONS, box_deltas.dtype)
        boxes = decode(box_deltas * deviations, ops.expand_dims(proposals, 2))
        if sizes is None:
            size = ops.shape(images)[1:3]
        else:
            size = tuple(ops.expand_dims(sizes[:, n : n + 1], 1) for n in (0, 1))
        probabilities = ops.softmax(class_logits)[..., :-1]
        found = ops.expand_dims(scores >= 0, -1)
        return box_ops.clip(boxes, size), ops.where(found, probabilities, 0.0)

    def compute_output_spec(
        self, proposals, scores, class_logits, box_deltas, images=None, sizes=None
    ):
        return (
            keras.KerasTensor(box_deltas.shape, box_deltas.dtype),
            keras.KerasTensor(box_deltas.shape[:-1], class_logits.dtype),
        )
