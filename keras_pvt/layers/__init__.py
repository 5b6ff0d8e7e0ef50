"""The layers of PVT and PVTv2. Every map is channels-last, `(B, H, W, C)`."""

from keras_pvt.layers.attention import (
    LinearSpatialReductionAttention,
    SpatialReductionAttention,
)
from keras_pvt.layers.drop_path import DropPath
from keras_pvt.layers.encoder_block import EncoderBlock
from keras_pvt.layers.feed_forward import ConvFeedForward, FeedForward
from keras_pvt.layers.patch_embedding import OverlapPatchEmbedding, PatchEmbedding
from keras_pvt.layers.position_embedding import ClassToken, PositionEmbedding, TakeClassToken
from keras_pvt.layers.resize import ResizeLike, Upsample

__all__ = [
    "ClassToken",
    "ConvFeedForward",
    "DropPath",
    "EncoderBlock",
    "FeedForward",
    "LinearSpatialReductionAttention",
    "OverlapPatchEmbedding",
    "PatchEmbedding",
    "PositionEmbedding",
    "ResizeLike",
    "SpatialReductionAttention",
    "TakeClassToken",
    "Upsample",
]
