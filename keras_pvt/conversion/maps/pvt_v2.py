"""Which checkpoint key of PVTv2 belongs to which Keras variable, and its shape."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_pvt.conversion.layouts import SAME
from keras_pvt.conversion.maps.entries import Entry, conv, dense, norm
from keras_pvt.conversion.maps.stages import (
    MMDETECTION,
    OFFICIAL,
    BlockNames,
    block,
    told_by_stages,
)
from keras_pvt.variants import PVTConfig


class Names(NamedTuple):
    """The words of one kind of checkpoint. `{n}` is a stage from 1, `{i}` the same from 0,
    `{block}` a block from 0, `{number}` the same from 1, `{last}` the stage's last from 1.

    Args:
        first: how stage 1 calls its patch embedding; the others are called as `patch` has it.
        patch: stages 2 to 4.
        head: empty where the library has only backbones.
        keras: whether these are names of Keras's layers, of which "." is a "_" here.
    """

    first: str
    patch: str
    proj: str
    patch_norm: str
    block: str
    inside: BlockNames
    norm: str
    head: str
    keras: bool = False


_TIMM = Names(
    first="patch_embed",
    patch="stages.{i}.downsample",
    proj="proj",
    patch_norm="norm",
    block="stages.{i}.blocks.{block}",
    inside=OFFICIAL._replace(depthwise="mlp.dwconv"),
    norm="stages.{i}.norm",
    head="head",
)
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
    "timm": _TIMM,
    # Of its models with features_only=True.
    "timm_features": _TIMM._replace(
        patch="stages_{i}.downsample",
        block="stages_{i}.blocks.{block}",
        norm="stages_{i}.norm",
        head="",
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
    "kecam": Names(
        first="stem",
        patch="stack{n}_downsample",
        proj="conv",
        patch_norm="ln",
        block="stack{n}_block{number}",
        inside=BlockNames(
            norm1="attn_ln",
            query="attn_query",
            key_value=("attn_key_value",),
            proj="attn_out",
            sr="attn_kv_sr_conv",
            sr_norm="attn_kv_sr_ln",
            norm2="mlp_ln",
            fc1="mlp_1_dense",
            fc2="mlp_2_dense",
            depthwise="mlp_mid_dw_conv",
        ),
        norm="stack{n}_block{last}_output_ln",
        head="predictions",
        keras=True,
    ),
}


def key_map(config: PVTConfig, layout: str) -> list[Entry]:
    """Every weight of a PVTv2 classifier, in the order of the official state dict.

    Args:
        config: row of the variant table.
        layout: "official" (whai362/PVT), "timm", "timm_features", "huggingface" (transformers),
            "mmdetection", which has no head, as "timm_features" has none, or "kecam"
            (keras-cv-attention-models), whose arrays lie as ours.
    """
    names, entries = NAMES[layout], []
    for n in (1, 2, 3, 4):
        where = {"n": n, "i": n - 1, "last": config.depths[n - 1]}
        theirs = (names.first if n == 1 else names.patch).format(**where)
        patch = f"stage{n}_patch_embedding"
        entries += conv(f"{theirs}.{names.proj}", f"{patch}/proj")
        entries += norm(f"{theirs}.{names.patch_norm}", f"{patch}/norm")
        for number in range(config.depths[n - 1]):
            entries += block(
                names.inside,
                names.block.format(**where, block=number, number=number + 1),
                f"stage{n}_block{number}",
                reduces=config.linear or config.sr_ratios[n - 1] > 1,
                convolutional=True,
            )
        entries += norm(names.norm.format(**where), f"stage{n}_norm")
    entries += dense((names.head,), "head") if names.head else []
    return [_as_keras(entry) for entry in entries] if names.keras else entries


def told(config: PVTConfig, get: Callable[[str], np.ndarray | None]) -> dict[str, Any]:
    """What the shapes of a checkpoint tell of its row: all but heads, strides and epsilons.

    Args:
        config: the row, for what matters to no weight and to no answer.
        get: gives the array of a variable's path, or None.
    Returns:
        Fields of the row; none where a weight that tells them is missing.
    """
    found = told_by_stages(get)
    if not found:
        return {}
    found["image_size"] = config.image_size  # of nothing that has a weight
    # Where attention is linear, stage 4 has its convolution, too, and all are 1 x 1.
    linear = get("stage4_block0/attention/sr/kernel") is not None and set(found["sr_ratios"]) == {1}
    if linear:
        found["sr_ratios"] = config.sr_ratios
    return found | {"linear": linear}


def _as_keras(entry: Entry) -> Entry:
    """The same for a file of Keras's, as `readers.keras_files` names what is in it."""
    layer, _, word = entry.torch[0].rpartition(".")
    number = ("weight", "bias").index(word)
    return Entry((f"{layer.replace('.', '_')}/{number}",), entry.keras, SAME)
