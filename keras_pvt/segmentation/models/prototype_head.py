"""The convolutions of Trans2Seg, which turn the attention of each class into its logits."""

import keras
from keras import ops

from keras_pvt.layers import base
from keras_pvt.models.convolution import BATCH_NORM
from keras_pvt.ops import resize


@base.register
class PrototypeHead(base.Composite):
    """The same small network for each class, on its attention maps and the image's features.

    Three depthwise separable convolutions, the last at the size of a finer map, and one logit.
    The part of the first convolution that the classes share, that of the features, is computed
    once. In inference, classes are taken a few at a time, as all at once at stride 4 would need
    K * H * W / 16 * `width` numbers. In training they go together, because the batch norms
    average over all classes, as upstream.

    Args:
        width: channels.
        class_chunk: classes at a time; 0 for all.
    Call arguments:
        features: map `(B, h, w, C)` of static sides.
        attention: `(B, K, heads, h * w)`.
        skip: finer map `(B, H, W, any)`, which is added before the last convolution; None
            leaves that out.
        training: whether batch norms use the batch.
    Returns:
        Logits `(B, H, W, K)`, or `(B, h, w, K)` without `skip`.
    Raises:
        ValueError: numbers out of range.
    Source:
        xieenze/Trans2Seg segmentron/models/trans2seg.py, `TransformerHead` and
        segmentron/modules/basic.py, `SeparableConv2d`. Differs: the first convolution's kernels
        are kept in two parts, of the features and of the attention; the numbers are the same.
    """

    def __init__(self, width: int = 64, class_chunk: int = 8, **kwargs):
        super().__init__(**kwargs)
        base.check_positive("PrototypeHead", width=width)
        if class_chunk:
            base.check_positive("PrototypeHead", class_chunk=class_chunk)
        self.width = width
        self.class_chunk = class_chunk
        # Each layer is an attribute: Keras's files name those of a list by the list.
        self.features_depthwise, self.features_depthwise_norm = self._depthwise("features")
        self.maps_depthwise, self.maps_depthwise_norm = self._depthwise("maps")
        self.features_pointwise = self._conv(width, "features_pointwise")
        self.attention_pointwise = self._conv(width, "maps_pointwise")
        self.norm1 = self._norm("norm1")
        self.depthwise2, self.depthwise2_norm = self._depthwise("2")
        self.pointwise2, self.norm2 = self._conv(width, "pointwise2"), self._norm("norm2")
        self.skip_conv, self.skip_norm = self._conv(width, "skip"), self._norm("skip_norm")
        self.depthwise3, self.depthwise3_norm = self._depthwise("3")
        self.pointwise3, self.norm3 = self._conv(width, "pointwise3"), self._norm("norm3")
        self.logit = self._conv(1, "logit", use_bias=True)

    def _conv(self, width, name, use_bias=False):
        return keras.layers.Conv2D(
            width,
            1,
            data_format="channels_last",
            use_bias=use_bias,
            dtype=base.inner_policy(self.dtype_policy, name),
            name=name,
        )

    def _norm(self, name):
        dtype = base.inner_policy(self.dtype_policy, name)
        return keras.layers.BatchNormalization(**BATCH_NORM, dtype=dtype, name=name)

    def _depthwise(self, name):
        """A depthwise convolution and its norm."""
        name = f"depthwise_{name}"
        convolution = keras.layers.DepthwiseConv2D(
            3,
            padding="same",
            data_format="channels_last",
            use_bias=False,
            dtype=base.inner_policy(self.dtype_policy, name),
            name=name,
        )
        return convolution, self._norm(f"{name}_norm")

    def build(self, features_shape, attention_shape, skip_shape=None):
        heads, cells = attention_shape[2], features_shape[1:3]
        inner = (None, *cells, self.width)
        for layers, shape in (
            (
                (self.features_depthwise, self.features_depthwise_norm, self.features_pointwise),
                features_shape,
            ),
            (
                (self.maps_depthwise, self.maps_depthwise_norm, self.attention_pointwise),
                (None, *cells, heads),
            ),
            ((self.norm1, self.depthwise2, self.depthwise2_norm, self.pointwise2), inner),
            ((self.norm2, self.logit), inner),
        ):
            for layer in layers:
                layer.build(shape)
        if skip_shape is not None:
            self.skip_conv.build(skip_shape)
            inner = (None, *skip_shape[1:3], self.width)
            last = (self.depthwise3, self.depthwise3_norm, self.pointwise3, self.norm3)
            for layer in (self.skip_norm, *last):
                layer.build(inner)
        self.built = True

    def call(self, features, attention, skip=None, training=False):
        shared = _through(self.features_depthwise, self.features_depthwise_norm, features, training)
        shared = self.features_pointwise(shared)
        if skip is not None:
            skip = ops.relu(self.skip_norm(self.skip_conv(skip), training=training))
        classes = attention.shape[1]
        step = classes if training or not self.class_chunk else self.class_chunk
        logits = [
            self._logits(attention[:, n : n + step], shared, skip, training)
            for n in range(0, classes, step)
        ]
        return ops.concatenate(logits, axis=-1)

    def _logits(self, attention, shared, skip, training):
        """Of some classes, `(B, H, W, classes)`."""
        classes, heads = attention.shape[1:3]
        height, width = shared.shape[1:3]
        x = ops.transpose(attention, (0, 1, 3, 2))
        x = ops.reshape(x, (-1, height, width, heads))  # (B * classes, h, w, heads)
        x = _through(self.maps_depthwise, self.maps_depthwise_norm, x, training)
        x = self.attention_pointwise(x)
        x = ops.relu(self.norm1(_add(x, shared, classes), training=training))
        x = self.pointwise2(_through(self.depthwise2, self.depthwise2_norm, x, training))
        x = ops.relu(self.norm2(x, training=training))
        if skip is not None:
            height, width = ops.shape(skip)[1:3]
            x = resize(x, height, width, align_corners=True)
            x = _add(x, skip, classes)
            x = self.pointwise3(_through(self.depthwise3, self.depthwise3_norm, x, training))
            x = ops.relu(self.norm3(x, training=training))
        x = self.logit(x)
        x = ops.reshape(x, (-1, classes, *x.shape[1:3]))
        return ops.transpose(x, (0, 2, 3, 1))

    def compute_output_shape(self, features_shape, attention_shape, skip_shape=None):
        sides = (features_shape if skip_shape is None else skip_shape)[1:3]
        return (features_shape[0], *sides, attention_shape[1])

    def get_config(self):
        return {**super().get_config(), "width": self.width, "class_chunk": self.class_chunk}


def _through(convolution, norm, x, training):
    return ops.relu(norm(convolution(x), training=training))


def _add(x, shared, classes):
    """Adds a map `(B, h, w, C)` to each class of `(B * classes, h, w, C)`."""
    _, height, width, channels = x.shape
    x = ops.reshape(x, (-1, classes, height, width, channels)) + ops.expand_dims(shared, 1)
    return ops.reshape(x, (-1, height, width, channels))
