"""The segmentation model that has just the weights of a state dict."""

import math

from keras_pvt.conversion.errors import CheckpointError
from keras_pvt.conversion.recognise import State
from keras_pvt.conversion.system_arrays import SystemArrays
from keras_pvt.conversion.systems import Outline
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.segmentation.models.base import Segmenter
from keras_pvt.segmentation.models.semantic_fpn import SemanticFPN
from keras_pvt.segmentation.models.trans2seg import Trans2Seg
from keras_pvt.variants import PVTConfig


def build_segmenter(
    state: State,
    system: str,
    config: PVTConfig,
    channels: int,
    size: tuple[int, int] | None = None,
) -> Segmenter:
    """A segmentation model that takes normalised images, its widths told from shapes.

    Args:
        state: of a whole segmentation model, of any layout that it has.
        system: that it is, see `system_of_state`.
        config: of its backbone.
        channels: of the images.
        size: (height, width) in pixels of the images of a `Trans2Seg` where they are no square;
            a `SemanticFPN` takes any.
    Raises:
        CheckpointError: weights that are missing, or of no possible shape; a size that they are
            not for.
    """
    arrays = SystemArrays(state, system, config, Outline())
    if system == "semantic_fpn":
        return SemanticFPN(
            PVTBackbone(config, (None, None, channels)),
            num_classes=len(arrays["logits/bias"]),
            neck_width=len(arrays["neck_lateral0/bias"]),
            head_width=len(arrays["head0_conv0_norm/gamma"]),
        )
    _, classes, dim = arrays["prototypes/table"].shape
    arrays = SystemArrays(state, system, config, Outline(embed_dim=dim))
    height, width = _sides(len(arrays["decoder0/norm4/gamma"]), config.strides[-1], size)
    skip = arrays.get("prototype_head/skip/kernel")
    return Trans2Seg(
        PVTBackbone(config, (height, width, channels)),
        num_classes=classes,
        skip_level=None if skip is None else _level(config, skip.shape[2]),
        embed_dim=dim,
        depth=arrays.count("decoder{n}/norm4/gamma"),
        num_heads=len(arrays["prototype_head/depthwise_maps_norm/gamma"]),
        mlp_ratio=len(arrays["decoder0/query_mlp/fc1/bias"]) // dim,
        head_width=len(arrays["prototype_head/norm2/gamma"]),
    )


def _sides(cells: int, stride: int, size: tuple[int, int] | None) -> tuple[int, int]:
    """Of the images whose coarsest map has so many cells, in pixels."""
    if size is not None:
        if (size[0] // stride) * (size[1] // stride) != cells:
            raise CheckpointError(
                f"these weights are for images of {cells} cells of {stride} x {stride} pixels; a "
                f"size of {size[0]}x{size[1]} has {size[0] // stride}x{size[1] // stride}."
            )
        return size
    side = math.isqrt(cells)
    if side**2 != cells:
        raise CheckpointError(
            f"these weights are for images of {cells} cells of {stride} x {stride} pixels, which "
            "is no square: pass their size (--size HEIGHTxWIDTH)."
        )
    return side * stride, side * stride


def _level(config: PVTConfig, width: int) -> str:
    """The pyramid level of a width."""
    levels = dict(zip(config.embed_dims, config.levels, strict=True))
    if width not in levels:
        raise CheckpointError(
            f"the head adds a map of {width} channels, and the backbone's have "
            f"{', '.join(map(str, config.embed_dims))}."
        )
    return levels[width]
