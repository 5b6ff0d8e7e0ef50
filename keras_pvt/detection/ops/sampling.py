"""Random sampling of boxes to learn from, with a fixed number of results."""

import typing

import keras
from keras import ops

from keras_pvt.detection.ops.proposals import top_k
from keras_pvt.ops import take_rows


class SampledBoxes(typing.NamedTuple):
    """Sampled boxes, those with an object first.

    Args:
        index: int32 `(B, count)`, places of the boxes.
        positive: bool `(B, count)`: whether the box has an object.
        drawn: bool `(B, count)`: False where no box was left to draw.
    """

    index: typing.Any
    positive: typing.Any
    drawn: typing.Any


def sample_boxes(positive, negative, count: int, most_positive: int, seed) -> SampledBoxes:
    """Draw boxes with an object, up to a limit, and fill up with background.

    Args:
        positive: which boxes have an object, bool tensor `(B, N)`.
        negative: which boxes are background, bool tensor `(B, N)`; a box that is neither is
            never drawn.
        count: boxes to draw of each image.
        most_positive: the most boxes with an object among them.
        seed: `keras.random.SeedGenerator`, or an integer.
    Source:
        mmdetection 2.13 mmdet/core/bbox/samplers/random_sampler.py.
    """

    def shuffled(which, most):
        order = keras.random.uniform(ops.shape(which), dtype="float32", seed=seed)
        order, index = top_k(ops.where(which, order, -1.0), most, -1.0)
        return order >= 0, index

    good, good_index = shuffled(positive, most_positive)
    bad, bad_index = shuffled(negative, count)
    left = count - ops.sum(ops.cast(good, "int32"), axis=1, keepdims=True)
    bad = ops.logical_and(bad, ops.arange(0, ops.shape(bad)[1], dtype="int32") < left)
    index = ops.concatenate([good_index, bad_index], axis=1)
    kind = ops.concatenate([2 * ops.cast(good, "float32"), ops.cast(bad, "float32")], axis=1)
    kind, order = ops.top_k(kind, min(count, kind.shape[1]))
    return SampledBoxes(take_rows(index, order), kind > 1, kind > 0)
