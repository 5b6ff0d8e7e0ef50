"""Which checkpoint key of RetinaNet belongs to which Keras variable."""

from collections.abc import Callable

import numpy as np

from keras_pvt.conversion.maps.entries import Entry, conv, neck, pyramid_map
from keras_pvt.variants import PVTConfig

# Maps of the neck that come from the backbone's, and all of them.
LATERALS, LEVELS = 3, 5


def key_map(config: PVTConfig, model, backbone: str = "official") -> list[Entry]:
    """Every weight of a `RetinaNet` on PVT, in the order of mmdetection 2.13's state dict.

    Args:
        config: of the backbone.
        model: whose `head_depth` is asked.
        backbone: layout of the backbone's names.
    """
    entries = pyramid_map("backbone.", config, backbone) + neck(LATERALS, LEVELS)
    for theirs, ours in (("cls_convs", "class_conv"), ("reg_convs", "box_conv")):
        for n in range(model.head_depth):
            entries += conv(f"bbox_head.{theirs}.{n}.conv", f"{ours}{n}")
    entries += conv("bbox_head.retina_cls", "class_logits")
    return entries + conv("bbox_head.retina_reg", "box_deltas")


def mmdetection_map(config: PVTConfig, model) -> list[Entry]:
    """`key_map` with mmdetection's own backbone, which it has since 2.17."""
    return key_map(config, model, "mmdetection")


def classes(get: Callable[[str], np.ndarray]) -> int:
    """How many classes a checkpoint tells apart, see `System.classes`."""
    anchors = max(1, len(get("box_deltas/bias")) // 4)
    return len(get("class_logits/bias")) // anchors
