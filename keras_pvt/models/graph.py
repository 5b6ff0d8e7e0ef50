"""What the graphs of all families share: encoder blocks, and reading them back."""

from typing import Any

import keras

from keras_pvt import layers
from keras_pvt.families import Rates
from keras_pvt.layers.base import inner_policy
from keras_pvt.variants import PVTConfig


def block_name(stage: int, block: int) -> str:
    """Layer name of an encoder block; stages count from 1, blocks from 0, as upstream."""
    return f"stage{stage}_block{block}"


def own(dtype, name: str) -> dict[str, Any]:
    """Policy and name of a layer."""
    return {"dtype": inner_policy(dtype, name), "name": name}


def encoder_blocks(
    x, config: PVTConfig, stage: int, rates: Rates, dtype, first_only: bool = False, **options
):
    """Encoder blocks of one stage.

    Args:
        x: the map of its patches.
        config: row of the variant table.
        stage: from 1.
        rates: of dropping.
        dtype: policy of the model.
        first_only: of the last of them.
        **options: further ones of `EncoderBlock`.
    """
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
            **options,
            **own(dtype, block_name(stage, block)),
        )(x)
    return x


def rates_of(model: keras.Model) -> Rates:
    """The rates of dropping of a model built here, read off its last block."""
    last = max(
        (layer for layer in model.layers if layer.name.startswith("stage4_block")),
        key=lambda layer: int(layer.name.removeprefix("stage4_block")),
    )
    # Of the last block, the rate was multiplied and divided by the depth.
    drop_path = float(f"{last.drop_path_rate:.10g}")
    return Rates(last.drop_rate, last.attention_drop_rate, drop_path)


def stage_layers(model: keras.Model, embedding: type, *others: str) -> tuple[list, dict[str, Any]]:
    """The first block and the patch embedding of each stage, and the fields of a row in them.

    Args:
        model: that a family's graph was built into.
        embedding: class of the family's patch embeddings.
        others: names of layers that the family has, too.
    Raises:
        ValueError: the model has no such layer, or another family's.
    """
    by_name = {layer.name: layer for layer in model.layers}
    names = [(block_name(n, 0), f"stage{n}_patch_embedding") for n in range(1, 5)]
    for name in (*(name for pair in names for name in pair), *others):
        if name not in by_name:
            raise ValueError(
                f"model {model.name!r} has no layer {name!r}: it is not a PVT built by keras_pvt. "
                "Pass the PVT itself, not a model around it."
            )
    stages = [tuple(by_name[name] for name in pair) for pair in names]
    if not all(type(patch) is embedding for _, patch in stages):
        raise ValueError(f"model {model.name!r} has patch embeddings of another family.")
    blocks = [block for block, _ in stages]
    told = {
        "depths": tuple(
            sum(name.startswith(f"stage{n}_block") for name in by_name) for n in range(1, 5)
        ),
        "embed_dims": tuple(block.dim for block in blocks),
        "num_heads": tuple(block.num_heads for block in blocks),
        "mlp_ratios": tuple(block.mlp_ratio for block in blocks),
        "sr_ratios": tuple(block.sr_ratio for block in blocks),
        "patch_sizes": tuple(patch.patch_size for _, patch in stages),
        "classes": by_name["head"].units if "head" in by_name else PVTConfig.classes,
        "epsilon": blocks[0].epsilon,
        "reduction_epsilon": blocks[0].reduction_epsilon,
    }
    return stages, told
