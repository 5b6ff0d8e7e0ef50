"""Numerics that layers share; the only package that asks which backend runs."""

from keras_pvt.ops.backend import (
    BACKEND,
    CALLS_HOST,
    COMPILES_HOST_CALLS,
    assign_without_copy,
    device,
    is_writing_onnx,
    on_host,
    replica_share,
)
from keras_pvt.ops.layers import (
    attention,
    call_layer,
    conv_feed_forward,
    dense,
    depthwise_conv,
    feed_forward,
    from_rows,
    gelu,
    layer_norm,
    overlap_conv,
    patch_conv,
    softmax,
    to_rows,
)
from keras_pvt.ops.pooling import pool
from keras_pvt.ops.resizing import linear_weights, resize, resize_grid
from keras_pvt.ops.tensors import argmax, class_crossentropy, fixed_point, onnx_roi_align, take_rows

__all__ = [
    "BACKEND",
    "CALLS_HOST",
    "COMPILES_HOST_CALLS",
    "argmax",
    "assign_without_copy",
    "attention",
    "call_layer",
    "class_crossentropy",
    "conv_feed_forward",
    "dense",
    "depthwise_conv",
    "device",
    "feed_forward",
    "fixed_point",
    "from_rows",
    "gelu",
    "is_writing_onnx",
    "layer_norm",
    "linear_weights",
    "on_host",
    "onnx_roi_align",
    "overlap_conv",
    "patch_conv",
    "pool",
    "replica_share",
    "resize",
    "resize_grid",
    "softmax",
    "take_rows",
    "to_rows",
]
