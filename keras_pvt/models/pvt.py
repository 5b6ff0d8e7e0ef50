"""The graph of PVT, from a row of the variant table.

Source: PVT, arXiv 2102.12122, figure 3 and section 3.1; whai362/PVT
classification/pvt.py (classifier) and detection/pvt.py (pyramid).
"""

import keras

from keras_pvt import layers
from keras_pvt.families import Rates
from keras_pvt.layers.base import LastNorm, dropout
from keras_pvt.models.graph import block_name, encoder_blocks, own, stage_layers
from keras_pvt.variants import PVTConfig


def pyramid(images, config: PVTConfig, rates: Rates, dtype=None) -> dict:
    """Maps of the four stages by their layers; no norm after them, and no class token."""
    maps, x = {}, images
    for stage in range(1, 5):
        x = _embed(x, config, stage, rates, dtype)
        x = encoder_blocks(x, config, stage, rates, dtype)
        maps[block_name(stage, config.depths[stage - 1] - 1)] = x
    return maps


def class_token(images, config: PVTConfig, rates: Rates, dtype=None):
    """The class token after stage 4 and the last norm, `(B, C)`."""
    x = images
    for stage in range(1, 5):
        last = stage == 4
        x = _embed(x, config, stage, rates, dtype, with_class_token=last)
        x = encoder_blocks(x, config, stage, rates, dtype, first_only=last)
    x = layers.TakeClassToken(**own(dtype, "take_class_token"))(x)
    return LastNorm(epsilon=config.epsilon, **own(dtype, "norm"))(x)


def _embed(x, config, stage, rates, dtype, with_class_token=False):
    """Patch embedding and positions of one stage."""
    n = stage - 1
    x = layers.PatchEmbedding(
        config.embed_dims[n],
        config.patch_sizes[n],
        epsilon=config.reduction_epsilon,
        **own(dtype, f"stage{stage}_patch_embedding"),
    )(x)
    x = layers.PositionEmbedding(config.grids[n], **own(dtype, f"stage{stage}_position"))(x)
    if with_class_token:
        x = layers.ClassToken(**own(dtype, "class_token"))(x)
    drop = dropout(rates.drop, dtype, f"stage{stage}_drop")
    return x if drop is None else drop(x)


def config_of(model: keras.Model) -> PVTConfig:
    """The configuration of a model built here, read off its layers.

    Raises:
        ValueError: the model is no PVT of this package.
    """
    first_position = "stage1_position"
    stages, told = stage_layers(model, layers.PatchEmbedding, first_position)
    grid = model.get_layer(first_position).grid_size
    return PVTConfig(**told, image_size=grid[0] * stages[0][1].patch_size)
