"""PVTv2: what its record in `keras_pvt.families` gives for its cost."""

import math

from keras_pvt.families import named
from keras_pvt.flops.cost import Cost, Part, conv, dense, norm, relu
from keras_pvt.variants import POOL_SIZE, PVTConfig


def backbone(
    config: PVTConfig, height: int, width: int, channels: int, class_row: bool
) -> list[Part]:
    """The four stages of a PVTv2, see `keras_pvt.flops.backbone`; there is no class row."""
    parts, cells_of = [], named(config.family).cells
    for n, (dim, patch) in enumerate(zip(config.embed_dims, config.patch_sizes, strict=True)):
        height, width = (cells_of(side, config.steps[n]) for side in (height, width))
        cells = height * width
        block = _block(config, n, height, width)
        cost = conv(cells, channels, dim, patch) + norm(cells, dim) * 2 + block * config.depths[n]
        parts.append(Part(f"stage {n + 1}", (height, width, dim), cost))
        channels = dim
    return parts


def classifier(
    config: PVTConfig, height: int, width: int, channels: int, classes: int
) -> list[Part]:
    """The four stages and the head of a PVTv2, see `keras_pvt.flops.classifier`."""
    head = dense(1, config.embed_dims[-1], classes)
    stages = backbone(config, height, width, channels, class_row=False)
    return [*stages, Part("head", (classes,), head)]


def _block(config: PVTConfig, n: int, height: int, width: int) -> Cost:
    """An encoder block of stage n + 1 on a map."""
    dim, reduction = config.embed_dims[n], config.sr_ratios[n]
    cells, hidden = height * width, config.embed_dims[n] * config.mlp_ratios[n]
    cost, keys = Cost(), cells
    if config.linear:
        keys = POOL_SIZE**2
        # The counter of the official code has an operation for each number that is pooled.
        cost += Cost(elementwise=cells * dim) + conv(keys, dim, dim, 1) + norm(keys, dim)
        cost += relu(cells, hidden)
    elif reduction > 1:
        keys = math.prod(side // reduction for side in (height, width))
        cost += conv(keys, dim, dim, reduction) + norm(keys, dim)
    attention = Cost(attention=2 * cells * keys * dim)
    projections = dense(cells, dim, dim) * 2 + dense(keys, dim, 2 * dim)
    feed_forward = dense(cells, dim, hidden) + conv(cells, 1, hidden, 3) + dense(cells, hidden, dim)
    return cost + attention + projections + feed_forward + norm(cells, dim) * 2
