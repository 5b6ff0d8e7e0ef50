"""Patch embeddings: of patches that meet, and of patches that overlap."""

import keras

from keras_pvt.layers import base
from keras_pvt.layers.initial_values import FanOutNormal
from keras_pvt.ops import layer_norm, overlap_conv, patch_conv


@base.register
class PatchEmbedding(base.Composite):
    """Cuts a map into square patches and projects each to a vector, then normalises.

    A side that is no multiple of the patch loses its last rows or columns, as upstream.

    Args:
        dim: channels out.
        patch_size: side of a patch in cells of the map that comes in.
        epsilon: added to the variance in the norm (1e-5 upstream).
    Call arguments:
        x: float map `(B, H, W, C)`.
    Returns:
        Map `(B, H // patch_size, W // patch_size, dim)`.
    Raises:
        ValueError: `dim` or `patch_size` below 1; a map that is not of rank 4, or smaller
            than a patch.
    Source:
        PVT, arXiv 2102.12122, section 3.2; whai362/PVT classification/pvt.py, `PatchEmbed`.
        Differs: takes and returns channels-last maps.
    """

    def __init__(self, dim: int, patch_size: int, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        base.check_positive("PatchEmbedding", dim=dim, patch_size=patch_size)
        self.dim = dim
        self.patch_size = patch_size
        self.epsilon = epsilon
        self.proj = base.patch_conv(dim, patch_size, self.dtype_policy, name="proj")
        self.norm = base.norm(epsilon, self.dtype_policy, name="norm")

    def build(self, input_shape):
        base.check_map(self.name, input_shape, self.patch_size)
        self.proj.build(input_shape)
        self.norm.build(self.compute_output_shape(input_shape))
        self.built = True

    def call(self, x):
        base.check_map(self.name, x.shape, self.patch_size)
        return layer_norm(self.norm, patch_conv(self.proj, x))

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return (
            batch,
            base.floor_div(height, self.patch_size),
            base.floor_div(width, self.patch_size),
            self.dim,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "patch_size": self.patch_size,
            "epsilon": self.epsilon,
        }


@base.register
class OverlapPatchEmbedding(base.Composite):
    """Projects overlapping square patches of a map to vectors, then normalises.

    The map is padded with zeros by as much on each side, so that no row or column is lost.

    Args:
        dim: channels out.
        patch_size: side of a patch in cells of the map that comes in; odd.
        stride: cells from one patch to the next; below `patch_size`.
        epsilon: added to the variance in the norm (1e-5 upstream).
    Call arguments:
        x: float map `(B, H, W, C)`.
    Returns:
        Map `(B, ceil(H / stride), ceil(W / stride), dim)`.
    Raises:
        ValueError: a number below 1; an even `patch_size`, or one not above `stride`; a map that
            is not of rank 4.
    Source:
        PVTv2, arXiv 2106.13797, section 3.2; whai362/PVT classification/pvt_v2.py,
        `OverlapPatchEmbed`. Differs: takes and returns channels-last maps.
    """

    def __init__(self, dim: int, patch_size: int, stride: int, epsilon: float = 1e-5, **kwargs):
        super().__init__(**kwargs)
        owner = "OverlapPatchEmbedding"
        base.check_positive(owner, dim=dim, patch_size=patch_size, stride=stride)
        if patch_size % 2 == 0 or patch_size <= stride:
            raise ValueError(
                f"{owner}: `patch_size` must be odd and above `stride`, so that patches overlap "
                f"by as much on each side; got {patch_size} and {stride}."
            )
        self.dim = dim
        self.patch_size = patch_size
        self.stride = stride
        self.epsilon = epsilon
        self.proj = keras.layers.Conv2D(
            dim,
            patch_size,
            strides=stride,
            data_format="channels_last",
            kernel_initializer=FanOutNormal(),
            dtype=base.inner_policy(self.dtype_policy, "proj"),
            name="proj",
        )
        self.norm = base.norm(epsilon, self.dtype_policy, name="norm")

    def build(self, input_shape):
        base.check_map(self.name, input_shape)
        batch, *sides, channels = input_shape
        edge = self.patch_size // 2
        around = [side if side is None else side + 2 * edge for side in sides]
        self.proj.build((batch, *around, channels))
        self.norm.build(self.compute_output_shape(input_shape))
        self.built = True

    def call(self, x):
        base.check_map(self.name, x.shape)
        return layer_norm(self.norm, overlap_conv(self.proj, x))

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        return (
            batch,
            base.ceil_div(height, self.stride),
            base.ceil_div(width, self.stride),
            self.dim,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "dim": self.dim,
            "patch_size": self.patch_size,
            "stride": self.stride,
            "epsilon": self.epsilon,
        }
