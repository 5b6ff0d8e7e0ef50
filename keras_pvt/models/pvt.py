"""The graph of PVT, from a row of the variant table.

Source: PVT, arXiv 2102.12122, figure 3 and section 3.1; whai362/PVT
classification/pvt.py (classifier) and detection/pvt.py (pyramid).
"""

import keras

from keras_pvt import layers
from keras_pvt.families import Rates
from keras_pvt.layers.base import LastNorm, inner_policy
from keras_pvt.variants import PVTConfig


def block_name(stage: int, block: int) -> str:
    """Layer name of an encoder block; stages count from 1, blocks from 0, as upstream."""
    return f"stage{stage}_block{block}"


def pyramid(images, config: PVTConfig, rates: Rates, dtype=None) -> dict:
    """Maps of the four stages by their layers; no norm after them, and no class token."""
    maps, x = {}, images
    for stage in range(1, 5):
        x = _embed(x, config, stage, rates, dtype)
        x = _blocks(x, config, stage, rates, dtype)
        maps[block_name(stage, config.depths[stage - 1] - 1)] = x
    return maps


def class_token(images, config: PVTConfig, rates: Rates, dtype=None):
    """The class token after stage 4 and the last norm, `(B, C)`."""
    x = images
    for stage in range(1, 5):
        last = stage == 4
        x = _embed(x, config, stage, rates, dtype, with_class_token=last)
        x = _blocks(x, config, stage, rates, dtype, first_only=last)
    x = layers.TakeClassToken(**_own(dtype, "take_class_token"))(x)
    return LastNorm(epsilon=config.epsilon, **_own(dtype, "norm"))(x)


def _embed(x, config, stage, rates, dtype, with_class_token=False):
    """Patch embedding and positions of one stage."""
    n = stage - 1
    x = layers.PatchEmbedding(
        config.embed_dims[n],
        config.patch_sizes[n],
        epsilon=config.reduction_epsilon,
        **_own(dtype, f"stage{stage}_patch_embedding"),
    )(x)
    x = layers.PositionEmbedding(config.grids[n], **_own(dtype, f"stage{stage}_position"))(x)
    if with_class_token:
        x = layers.ClassToken(**_own(dtype, "class_token"))(x)
    if rates.drop > 0:
        x = keras.layers.Dropout(rates.drop, **_own(dtype, f"stage{stage}_drop"))(x)
    return x


def _blocks(x, config, stage, rates, dtype, first_only=False):
    """Encoder blocks of one stage; `first_only` holds for the last of them."""
    n = stage - 1
    depth, before = config.depths[n], sum(config.depths[:n])
    last = max(1, sum(config.depths) - 1)
    for block in range(depth):
        x = layers.EncoderBlock(
            config.embed_dims[n],
            config.num_heads[n],
            config.mlp_ratios[n],
            config.sr_ratios[n],
            drop_rate=rates.drop,
            attention_drop_rate=rates.attention_drop,
            drop_path_rate=rates.drop_path * (before + block) / last,
            epsilon=config.epsilon,
            reduction_epsilon=config.reduction_epsilon,
            first_only=first_only and block == depth - 1,
            **_own(dtype, block_name(stage, block)),
        )(x)
    return x


def _own(dtype, name):
    """Policy and name of a layer."""
    return {"dtype": inner_policy(dtype, name), "name": name}


def rates_of(model: keras.Model) -> Rates:
    """The rates of dropping of a model built here, read off its last block."""
    last = max(
        (layer for layer in model.layers if layer.name.startswith("stage4_block")),
        key=lambda layer: int(layer.name.removeprefix("stage4_block")),
    )
    # Of the last block, the rate was multiplied and divided by the depth.
    drop_path = float(f"{last.drop_path_rate:.10g}")
    return Rates(last.drop_rate, last.attention_drop_rate, drop_path)


def config_of(model: keras.Model) -> PVTConfig:
    """The configuration of a model built here, read off its layers.

    Raises:
        ValueError: the model is no PVT of this package.
    """
    by_name = {layer.name: layer for layer in model.layers}
    try:
        stages = [
            [by_name[block_name(stage, 0)], by_name[f"stage{stage}_patch_embedding"]]
            for stage in range(1, 5)
        ]
        position = by_name["stage1_position"]
    except KeyError as error:
        raise ValueError(
            f"model {model.name!r} has no layer {error.args[0]!r}: it is not a PVT built by "
            "keras_pvt. Pass the PVT itself, not a model around it."
        ) from None
    first = stages[0][0]
    return PVTConfig(
        depths=tuple(
            sum(name.startswith(f"stage{stage}_block") for name in by_name) for stage in range(1, 5)
        ),
        embed_dims=tuple(block.dim for block, _ in stages),
        num_heads=tuple(block.num_heads for block, _ in stages),
        mlp_ratios=tuple(block.mlp_ratio for block, _ in stages),
        sr_ratios=tuple(block.sr_ratio for block, _ in stages),
        patch_sizes=tuple(patch.patch_size for _, patch in stages),
        image_size=position.grid_size[0] * stages[0][1].patch_size,
        classes=by_name["head"].units if "head" in by_name else PVTConfig.classes,
        epsilon=first.epsilon,
        reduction_epsilon=first.reduction_epsilon,
    )
