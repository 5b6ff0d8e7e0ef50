"""Which checkpoint key of Mask R-CNN belongs to which Keras variable."""

from collections.abc import Callable

import numpy as np

from keras_pvt.conversion.layouts import SAME, flattened
from keras_pvt.conversion.maps.entries import Entry, conv, dense, neck, pyramid_map
from keras_pvt.variants import PVTConfig

# Parts of a box, each way, that the first dense layer sees.
BOX_PARTS = 7


def key_map(config: PVTConfig, model, backbone: str = "official") -> list[Entry]:
    """Every weight of a `MaskRCNN` on PVT, in the order of mmdetection 2.13's state dict.

    Args:
        config: of the backbone.
        model: whose `masks` and `mask_depth` are asked.
        backbone: layout of the backbone's names.
    """
    levels = len(config.levels)
    entries = pyramid_map("backbone.", config, backbone) + neck(levels, levels)
    for theirs, ours in (("conv", "conv"), ("cls", "logits"), ("reg", "deltas")):
        entries += conv(f"rpn_head.rpn_{theirs}", f"proposal_{ours}")
    theirs, ours = "roi_head.bbox_head", "box_head"
    entries += dense((f"{theirs}.fc_cls",), f"{ours}/class_logits")
    entries += dense((f"{theirs}.fc_reg",), f"{ours}/box_deltas")
    entries += [
        Entry(
            (f"{theirs}.shared_fcs.0.weight",),
            (f"{ours}/fc0/kernel",),
            flattened(BOX_PARTS, BOX_PARTS),
        ),
        Entry((f"{theirs}.shared_fcs.0.bias",), (f"{ours}/fc0/bias",), SAME),
    ]
    entries += dense((f"{theirs}.shared_fcs.1",), f"{ours}/fc1")
    if model.masks:
        theirs, ours = "roi_head.mask_head", "mask_head"
        for n in range(model.mask_depth):
            entries += conv(f"{theirs}.convs.{n}.conv", f"{ours}/conv{n}")
        entries += conv(f"{theirs}.upsample", f"{ours}/upsample")
        entries += conv(f"{theirs}.conv_logits", f"{ours}/logits")
    return entries


def mmdetection_map(config: PVTConfig, model) -> list[Entry]:
    """`key_map` with mmdetection's own backbone, which it has since 2.17."""
    return key_map(config, model, "mmdetection")


def classes(get: Callable[[str], np.ndarray]) -> int:
    """How many classes a checkpoint tells apart, see `System.classes`."""
    return len(get("box_head/class_logits/bias")) - 1
