"""Which checkpoint key of PVT belongs to which Keras variable, and its shape."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_pvt.conversion.layouts import POSITION, POSITION_WITH_CLASS, SAME
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
    `{block}` a block from 0, `{number}` the same from 1.

    Args:
        class_token: as `norm` and `head`, empty where the library has only backbones.
    """

    position: str
    class_token: str
    patch: str
    patch_norm: str
    block: str
    inside: BlockNames
    norm: str
    head: str


NAMES = {
    "official": Names(
        position="pos_embed{n}",
        class_token="cls_token",
        patch="patch_embed{n}.proj",
        patch_norm="patch_embed{n}.norm",
        block="block{n}.{block}",
        inside=OFFICIAL,
        norm="norm",
        head="head",
    ),
    "huggingface": Names(
        position="pvt.encoder.patch_embeddings.{i}.position_embeddings",
        class_token="pvt.encoder.patch_embeddings.3.cls_token",
        patch="pvt.encoder.patch_embeddings.{i}.projection",
        patch_norm="pvt.encoder.patch_embeddings.{i}.layer_norm",
        block="pvt.encoder.block.{i}.{block}",
        inside=BlockNames(
            norm1="layer_norm_1",
            query="attention.self.query",
            key_value=("attention.self.key", "attention.self.value"),
            proj="attention.output.dense",
            sr="attention.self.sequence_reduction",
            sr_norm="attention.self.layer_norm",
            norm2="layer_norm_2",
            fc1="mlp.dense1",
            fc2="mlp.dense2",
        ),
        norm="pvt.encoder.layer_norm",
        head="classifier",
    ),
    # A stage's table is the first of its blocks there.
    "mmdetection": Names(
        position="layers.{i}.1.0.pos_embed",
        class_token="",
        patch="layers.{i}.0.projection",
        patch_norm="layers.{i}.0.norm",
        block="layers.{i}.1.{number}",
        inside=MMDETECTION._replace(fc2="ffn.layers.3", depthwise=""),
        norm="",
        head="",
    ),
}


def key_map(config: PVTConfig, layout: str) -> list[Entry]:
    """Every weight of a PVT classifier, in the order of the official state dict.

    Args:
        config: row of the variant table.
        layout: "official" (whai362/PVT), "huggingface" (transformers) or "mmdetection", which has
            no class token, and neither norm nor head after it.
    """
    names = NAMES[layout]
    tables = [
        ((names.position.format(n=n, i=n - 1),), f"stage{n}_position/table") for n in (1, 2, 3, 4)
    ]
    entries = [Entry(torch, (keras,), POSITION) for torch, keras in tables]
    if names.class_token:
        torch, table = tables[3]
        entries[3] = Entry(torch, ("class_token/position", table), POSITION_WITH_CLASS)
        entries.append(Entry((names.class_token,), ("class_token/token",), SAME))
    for n in (1, 2, 3, 4):
        patch = f"stage{n}_patch_embedding"
        entries += conv(names.patch.format(n=n, i=n - 1), f"{patch}/proj")
        entries += norm(names.patch_norm.format(n=n, i=n - 1), f"{patch}/norm")
        for number in range(config.depths[n - 1]):
            entries += block(
                names.inside,
                names.block.format(n=n, i=n - 1, block=number, number=number + 1),
                f"stage{n}_block{number}",
                reduces=config.sr_ratios[n - 1] > 1,
            )
    if names.head:
        entries += norm(names.norm, "norm") + dense((names.head,), "head")
    return entries


def told(config: PVTConfig, get: Callable[[str], np.ndarray | None]) -> dict[str, Any]:
    """What the shapes of a checkpoint tell of its row: all but heads and epsilons.

    Args:
        config: the row, of which nothing is taken.
        get: gives the array of a variable's path, or None.
    Returns:
        Fields of the row; none where a weight that tells them is missing.
    """
    found, table = told_by_stages(get), get("stage1_position/table")
    if table is None or not found:
        return {}
    side = table.shape[1] * found["patch_sizes"][0]
    return found | {"image_size": side, "patch_strides": None, "linear": False}
