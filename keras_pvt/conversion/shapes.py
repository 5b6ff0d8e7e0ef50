"""The shapes of an official checkpoint, known without building a model."""

import re

from keras_pvt.conversion.key_map import key_map
from keras_pvt.variants import PVTConfig


def official_shapes(config: PVTConfig) -> dict[str, tuple[int, ...]]:
    """Key and shape of every tensor of an official checkpoint, in its order.

    Args:
        config: row of the variant table.
    """
    return {
        entry.torch[0]: _shape(entry.keras[-1], config) for entry in key_map(config, "official")
    }


def _shape(path: str, config: PVTConfig) -> tuple[int, ...]:
    """Official shape of the tensor that holds one Keras variable."""
    layer, variable = path.rsplit("/", 1)
    match = re.fullmatch(r"stage(\d)_([a-z_]+)\d*(?:/(.+))?", layer)
    stage = int(match[1]) - 1 if match else 3
    dim = config.embed_dims[stage]
    if variable == "table":
        return 1, config.grids[stage] ** 2 + (stage == 3), dim  # the last has the class token's
    if variable == "token":
        return 1, 1, dim
    if variable in ("gamma", "beta"):
        return (dim,)
    kernel = _kernels(config, stage)[f"{match[2]}/{match[3]}"] if match else (config.classes, dim)
    return kernel if variable == "kernel" else kernel[:1]


def _kernels(config: PVTConfig, stage: int) -> dict[str, tuple[int, ...]]:
    """By layer, (outputs, inputs) or (outputs, inputs, height, width)."""
    dim = config.embed_dims[stage]
    inputs = config.embed_dims[stage - 1] if stage else 3
    hidden = dim * config.mlp_ratios[stage]
    patch, ratio = config.patch_sizes[stage], config.sr_ratios[stage]
    return {
        "patch_embedding/proj": (dim, inputs, patch, patch),
        "block/attention/query": (dim, dim),
        "block/attention/key_value": (2 * dim, dim),
        "block/attention/proj": (dim, dim),
        "block/attention/sr": (dim, dim, ratio, ratio),
        "block/feed_forward/fc1": (hidden, dim),
        "block/feed_forward/fc2": (dim, hidden),
    }
