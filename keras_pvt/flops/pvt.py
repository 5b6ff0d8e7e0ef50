"""PVT: what its records in `keras_pvt.families` give for its cost."""

import math

from keras_pvt.flops.cost import Cost, Part, conv, dense, norm
from keras_pvt.variants import PVTConfig


def backbone(
    config: PVTConfig, height: int, width: int, channels: int, class_row: bool
) -> list[Part]:
    """The four stages of a PVT, see `keras_pvt.flops.backbone`."""
    return _stages(config, height, width, channels, class_tokens=0, class_rows=int(class_row))


def classifier(
    config: PVTConfig, height: int, width: int, channels: int, classes: int
) -> list[Part]:
    """The four stages and the head of a PVT, see `keras_pvt.flops.classifier`.

    The last block and norm count every token, as the paper does, though ours computes only
    the class token's.
    """
    dim = config.embed_dims[-1]
    stages = _stages(config, height, width, channels, class_tokens=1, class_rows=2)
    tokens = math.prod(stages[-1].output[:2]) + 1
    return [*stages, Part("head", (classes,), norm(tokens, dim) + dense(1, dim, classes))]


def _stages(config, height, width, channels, class_tokens, class_rows):
    """A part a stage; tokens and table rows beside those of the cells are in the last."""
    parts = []
    for n, (dim, patch) in enumerate(zip(config.embed_dims, config.patch_sizes, strict=True)):
        height, width = height // patch, width // patch
        cells = height * width
        extra = class_tokens if n == 3 else 0
        rows = config.grids[n] ** 2 + (class_rows if n == 3 else 0)
        block = _block(
            height, width, extra, dim, ratio=config.mlp_ratios[n], reduction=config.sr_ratios[n]
        )
        cost = conv(cells, channels, dim, patch) + norm(cells, dim) + Cost(parameters=rows * dim)
        cost += block * config.depths[n]
        parts.append(Part(f"stage {n + 1}", (height, width, dim), cost))
        channels = dim
    return parts


def _block(height, width, extra, dim, ratio, reduction):
    """An encoder block on a map, with so many `extra` tokens beside it."""
    tokens = height * width + extra
    reduced = (height // reduction) * (width // reduction)
    cost = Cost(attention=2 * height * width * reduced * dim)
    keys = tokens
    if reduction > 1:
        keys = reduced
        cost += conv(reduced, dim, dim, reduction) + norm(reduced, dim)
    projections = dense(tokens, dim, dim) * 2 + dense(keys, dim, 2 * dim)
    feed_forward = dense(tokens, dim, ratio * dim) + dense(tokens, ratio * dim, dim)
    return cost + projections + feed_forward + norm(tokens, dim) * 2
