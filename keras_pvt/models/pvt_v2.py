"""The graph of PVTv2, from a row of the variant table.

Source: PVTv2, arXiv 2106.13797, figure 1 and section 3; whai362/PVT, branch v2,
classification/pvt_v2.py (classifier) and detection/pvt_v2.py (pyramid).
"""

import dataclasses

import keras

from keras_pvt import layers
from keras_pvt.families import Rates
from keras_pvt.layers.base import LastNorm
from keras_pvt.models.graph import encoder_blocks, own, stage_layers
from keras_pvt.variants import VARIANTS, PVTConfig


def pyramid(images, config: PVTConfig, rates: Rates, dtype=None) -> dict:
    """Maps of the four stages by their layers. The norm after a stage is part of the trunk."""
    maps, x = {}, images
    for stage in range(1, 5):
        n, norm = stage - 1, f"stage{stage}_norm"
        x = layers.OverlapPatchEmbedding(
            config.embed_dims[n],
            config.patch_sizes[n],
            config.steps[n],
            epsilon=config.reduction_epsilon,
            **own(dtype, f"stage{stage}_patch_embedding"),
        )(x)
        x = encoder_blocks(x, config, stage, rates, dtype, convolutional=True, linear=config.linear)
        x = LastNorm(epsilon=config.epsilon, **own(dtype, norm))(x)
        maps[norm] = x
    return maps


def mean(images, config: PVTConfig, rates: Rates, dtype=None):
    """The mean of all cells of stage 4, `(B, C)`."""
    *_, x = pyramid(images, config, rates, dtype).values()
    return keras.layers.GlobalAveragePooling2D(
        data_format="channels_last", **own(dtype, "avg_pool")
    )(x)


def config_of(model: keras.Model) -> PVTConfig:
    """The configuration of a model built here, read off its layers.

    No layer tells the size of images that it was made for: it is that of the row of the table that
    is the same otherwise, or the usual one.

    Raises:
        ValueError: the model is no PVTv2 of this package.
    """
    stages, told = stage_layers(model, layers.OverlapPatchEmbedding)
    found = PVTConfig(
        **told,
        family="pvt_v2",
        patch_strides=tuple(patch.stride for _, patch in stages),
        linear=stages[0][0].linear,
    )
    rows = (
        dataclasses.replace(found, image_size=row.image_size)
        for row in VARIANTS.values()
        if dataclasses.replace(row, image_size=found.image_size, classes=found.classes) == found
    )
    return next(rows, found)
