"""Which checkpoint key of PVTv2 belongs to which Keras variable, and its shape."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_pvt.conversion.maps.entries import Entry, conv, dense, norm
from keras_pvt.conversion.maps.stages import (
    MMDETECTION,
    OFFICIAL,
    BlockNames,
    block,
    shapes,
    told_by_stages,
)
from keras_pvt.variants import PVTConfig


class Names(NamedTuple):
    """The words of one kind of checkpoint. `{n}` is a stage from 1, `{i}` the same from 0,
    `{block}` a block from 0.

    Args:
        first: how stage 1 calls its patch embedding; the others are called as `patch` has it.
        patch: stages 2 to 4.
        head: empty where the library has only backbones.
    """

    first: str
    patch: str
    proj: str
    patch_norm: str
    block: str
    inside: BlockNames
    norm: str
    head: str


NAMES = {
    "official": Names(
        first="patch_embed{n}",
        patch="patch_embed{n}",
        proj="proj",
        patch_norm="norm",
        block="block{n}.{block}",
        inside=OFFICIAL,
        norm="norm{n}",
        head="head",
    ),
    "timm": Names(
        first="patch_embed",
        patch="stages.{i}.downsample",
        proj="proj",
        patch_norm="norm",
        block="stages.{i}.blocks.{block}",
        inside=OFFICIAL._replace(depthwise="mlp.dwconv"),
        norm="stages.{i}.norm",
        head="head",
    ),
    "huggingface": Names(
        first="pvt_v2.encoder.layers.{i}.patch_embedding",
        patch="pvt_v2.encoder.layers.{i}.patch_embedding",
        proj="proj",
        patch_norm="layer_norm",
        block="pvt_v2.encoder.layers.{i}.blocks.{block}",
        inside=BlockNames(
            norm1="layer_norm_1",
            query="attention.query",
            key_value=("attention.key", "attention.value"),
            proj="attention.proj",
            sr="attention.spatial_reduction",
            sr_norm="attention.layer_norm",
            norm2="layer_norm_2",
            fc1="mlp.dense1",
            fc2="mlp.dense2",
            depthwise="mlp.dwconv.dwconv",
        ),
        norm="pvt_v2.encoder.layers.{i}.layer_norm",
        head="classifier",
    ),
    "mmdetection": Names(
        first="layers.{i}.0",
        patch="layers.{i}.0",
        proj="projection",
        patch_norm="norm",
        block="layers.{i}.1.{block}",
        inside=MMDETECTION,
        norm="layers.{i}.2",
        head="",
    ),
}


def key_map(config: PVTConfig, layout: str) -> list[Entry]:
    """Every weight of a PVTv2 classifier, in the order of the official state dict.

    Args:
        config: row of the variant table.
        layout: "official" (whai362/PVT), "timm", "huggingface" (transformers) or "mmdetection",
            which has no head.
    """
    names, entries = NAMES[layout], []
    for n in (1, 2, 3, 4):
        where = {"n": n, "i": n - 1}
        theirs = (names.first if n == 1 else names.patch).format(**where)
        patch = f"stage{n}_patch_embedding"
        entries += conv(f"{theirs}.{names.proj}", f"{patch}/proj")
        entries += norm(f"{theirs}.{names.patch_norm}", f"{patch}/norm")
        for number in range(config.depths[n - 1]):
            entries += block(
                names.inside,
                names.block.format(**where, block=number),
                f"stage{n}_block{number}",
                reduces=config.linear or config.sr_ratios[n - 1] > 1,
                convolutional=True,
            )
        entries += norm(names.norm.format(**where), f"stage{n}_norm")
    return entries + (dense((names.head,), "head") if names.head else [])


def told(config: PVTConfig, get: Callable[[str], np.ndarray | None]) -> dict[str, Any]:
    """What the shapes of a checkpoint tell of its row: all but heads, strides and epsilons.

    Args:
        config: the row, of which nothing is taken.
        get: gives the array of a variable's path, or None.
    Returns:
        Fields of the row; none where a weight that tells them is missing.
    """
    found = told_by_stages(get)
    if not found:
        return {}
    # Where attention is linear, stage 4 has its convolution, too, and all are 1 x 1.
    linear = get("stage4_block0/attention/sr/kernel") is not None and set(found["sr_ratios"]) == {1}
    if linear:
        found["sr_ratios"] = config.sr_ratios
    return found | {"linear": linear}


def official_shapes(config: PVTConfig) -> dict[str, tuple[int, ...]]:
    """Key and shape of every tensor of an official checkpoint, in its order.

    Args:
        config: row of the variant table.
    """
    return shapes(key_map(config, "official"), config)
