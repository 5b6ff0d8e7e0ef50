"""The loss of segmentation: crossentropy of every pixel."""

import keras
from keras import ops

from keras_pvt.layers import base
from keras_pvt.ops import class_crossentropy, resize
from keras_pvt.recipes.segmentation import MEANS
from keras_pvt.segmentation.data.samples import IGNORED


@base.register
class PixelCrossentropy(keras.losses.Loss):
    """Crossentropy over the classes of each pixel, for logits of any size.

    Ignored pixels add nothing to the loss and have no gradient. The same holds for labels that are
    not a class of the logits, because a compiled program cannot raise an error.

    Args:
        ignore: label of the pixels that are ignored.
        mean_over: "all" divides the sum by all pixels, including the ignored ones, so an image
            weighs less if less of it is labelled; "valid" divides the sum by the valid pixels of
            all images of a batch together.
        name: of the loss.
    Call arguments:
        y_true: integer labels `(B, H, W)`.
        y_pred: logits `(B, h, w, K)`, no softmax, of any dtype; resized to H x W, bilinear,
            half-pixel centres.
    Returns:
        A float32 number; 0 if all pixels are ignored.
    Raises:
        ValueError: an unknown `mean_over`; other shapes; there is a class 255 while `ignore` is
            255.
    Source:
        mmsegmentation 0.13 mmseg/models/losses/cross_entropy_loss.py, which averages over all
        pixels, and decode_head.py, which resizes.
    """

    def __init__(
        self,
        ignore: int = IGNORED,
        mean_over: str = "all",
        name: str = "pixel_crossentropy",
    ):
        # Half precision would not hold the sum, whatever the model computes in.
        dtype = keras.backend.result_type(keras.config.floatx(), "float32")
        super().__init__(name=name, dtype=dtype)
        if mean_over not in MEANS:
            raise ValueError(
                f"PixelCrossentropy: `mean_over` must be one of {', '.join(MEANS)}; got "
                f"{mean_over!r}."
            )
        self.ignore, self.mean_over = ignore, mean_over

    def call(self, y_true, y_pred):
        """Of each pixel, `(B, H, W)`; Keras averages."""
        logits = at_size_of(y_true, y_pred)
        labels, counts = valid_labels(y_true, logits.shape[-1], self.ignore)
        counts = ops.cast(counts, logits.dtype)
        losses = class_crossentropy(labels, logits) * counts
        if self.mean_over == "valid":
            losses = losses / ops.maximum(ops.mean(counts), keras.config.epsilon())
        return losses

    def get_config(self):
        return {"ignore": self.ignore, "mean_over": self.mean_over, "name": self.name}


def check_ignored(ignore: int, num_classes: int) -> None:
    """Raise ValueError where the label that is ignored by default is one of the classes."""
    if ignore == IGNORED < num_classes:
        raise ValueError(
            f"label {IGNORED} is ignored by default, and is one of {num_classes} classes: pass "
            "`ignore`, such as -1, that is no class."
        )


def at_size_of(labels, logits):
    """Logits `(B, h, w, K)` at the size of labels `(B, H, W)`.

    Raises:
        ValueError: other ranks.
    """
    if len(labels.shape) != 3 or len(logits.shape) != 4:
        raise ValueError(
            "expected labels (batch, height, width) and logits (batch, height, width, classes); "
            f"got shapes {tuple(labels.shape)} and {tuple(logits.shape)}."
        )
    return resize(logits, *ops.shape(labels)[1:])


def valid_labels(labels, num_classes: int, ignore: int):
    """Labels of any dtype as int32, 0 where they do not count; and where they do.

    Raises:
        ValueError: see `check_ignored`.
    """
    check_ignored(ignore, num_classes)
    labels = ops.cast(labels, "int32")
    counts = ops.logical_and(labels >= 0, labels < num_classes)
    counts = ops.logical_and(counts, labels != ignore)
    return ops.where(counts, labels, 0), counts
