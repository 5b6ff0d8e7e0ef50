"""The layers of PVT. Every map is channels-last, `(B, H, W, C)`."""

from keras_pvt.layers.attention import SpatialReductionAttention
from keras_pvt.layers.drop_path import DropPath
from keras_pvt.layers.encoder_block import EncoderBlock
from keras_pvt.layers.feed_forward import FeedForward
from keras_pvt.layers.patch_embedding import PatchEmbedding
from keras_pvt.layers.position_embedding import ClassToken, PositionEmbedding, TakeClassToken
from keras_pvt.layers.resize import ResizeLike, Upsample

__all__ = [
    "ClassToken",
    "DropPath",
    "EncoderBlock",
    "FeedForward",
    "PatchEmbedding",
    "PositionEmbedding",
    "ResizeLike",
    "SpatialReductionAttention",
    "TakeClassToken",
    "Upsample",
]
