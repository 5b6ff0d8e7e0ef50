"""Which checkpoint key of Semantic FPN belongs to which Keras variable."""

from collections.abc import Callable

import numpy as np

from keras_pvt.conversion.maps.entries import Entry, batch_norm, conv, kernel, neck, pyramid_map
from keras_pvt.variants import PVTConfig


def key_map(config: PVTConfig, model) -> list[Entry]:
    """Every weight of a `SemanticFPN` on PVT, in the order of mmsegmentation 0.13's state dict."""
    levels = len(config.levels)
    entries = pyramid_map("backbone.", config) + neck(levels, levels)
    entries += conv("decode_head.conv_seg", "logits")
    for n in range(levels):
        for step in range(max(1, n)):  # between them are upsamplings, which count
            theirs = f"decode_head.scale_heads.{n}.{2 * step}"
            ours = f"head{n}_conv{step}"
            entries += [kernel(f"{theirs}.conv", ours), *batch_norm(f"{theirs}.bn", ours)]
    return entries


def classes(get: Callable[[str], np.ndarray]) -> int:
    """How many classes a checkpoint tells apart, see `System.classes`."""
    return len(get("logits/bias"))
