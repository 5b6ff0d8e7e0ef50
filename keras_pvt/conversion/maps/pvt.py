"""Which checkpoint key of PVT belongs to which Keras variable, and its shape."""

import itertools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_pvt.conversion.layouts import POSITION, POSITION_WITH_CLASS, SAME
from keras_pvt.conversion.maps.entries import Entry, conv, dense, norm
from keras_pvt.variants import PVTConfig


class Names(NamedTuple):
    """The words of one kind of checkpoint. `{n}` is a stage from 1, `{i}` the same from 0,
    `{block}` a block from 0; from `norm1` to `fc2` they follow the block's name."""

    position: str
    class_token: str
    patch: str
    patch_norm: str
    block: str
    norm1: str
    query: str
    key_value: tuple[str, ...]
    proj: str
    sr: str
    sr_norm: str
    norm2: str
    fc1: str
    fc2: str
    norm: str
    head: str


NAMES = {
    "official": Names(
        position="pos_embed{n}",
        class_token="cls_token",
        patch="patch_embed{n}.proj",
        patch_norm="patch_embed{n}.norm",
        block="block{n}.{block}",
        norm1="norm1",
        query="attn.q",
        key_value=("attn.kv",),
        proj="attn.proj",
        sr="attn.sr",
        sr_norm="attn.norm",
        norm2="norm2",
        fc1="mlp.fc1",
        fc2="mlp.fc2",
        norm="norm",
        head="head",
    ),
    "huggingface": Names(
        position="pvt.encoder.patch_embeddings.{i}.position_embeddings",
        class_token="pvt.encoder.patch_embeddings.3.cls_token",
        patch="pvt.encoder.patch_embeddings.{i}.projection",
        patch_norm="pvt.encoder.patch_embeddings.{i}.layer_norm",
        block="pvt.encoder.block.{i}.{block}",
        norm1="layer_norm_1",
        query="attention.self.query",
        key_value=("attention.self.key", "attention.self.value"),
        proj="attention.output.dense",
        sr="attention.self.sequence_reduction",
        sr_norm="attention.self.layer_norm",
        norm2="layer_norm_2",
        fc1="mlp.dense1",
        fc2="mlp.dense2",
        norm="pvt.encoder.layer_norm",
        head="classifier",
    ),
}


def key_map(config: PVTConfig, layout: str) -> list[Entry]:
    """Every weight of a PVT classifier, in the order of the official state dict.

    Args:
        config: row of the variant table.
        layout: "official" (whai362/PVT) or "huggingface" (transformers).
    """
    names = NAMES[layout]
    entries = [
        Entry((names.position.format(n=n, i=n - 1),), (f"stage{n}_position/table",), POSITION)
        for n in (1, 2, 3)
    ]
    entries += [
        Entry(
            (names.position.format(n=4, i=3),),
            ("class_token/position", "stage4_position/table"),
            POSITION_WITH_CLASS,
        ),
        Entry((names.class_token,), ("class_token/token",), SAME),
    ]
    for n in (1, 2, 3, 4):
        patch = f"stage{n}_patch_embedding"
        entries += conv(names.patch.format(n=n, i=n - 1), f"{patch}/proj")
        entries += norm(names.patch_norm.format(n=n, i=n - 1), f"{patch}/norm")
        for block in range(config.depths[n - 1]):
            entries += _block(
                names,
                names.block.format(n=n, i=n - 1, block=block),
                f"stage{n}_block{block}",
                reduces=config.sr_ratios[n - 1] > 1,
            )
    return entries + norm(names.norm, "norm") + dense((names.head,), "head")


def _block(names: Names, torch: str, keras: str, reduces: bool) -> list[Entry]:
    attention = f"{keras}/attention"
    entries = norm(f"{torch}.{names.norm1}", f"{keras}/norm1")
    entries += dense((f"{torch}.{names.query}",), f"{attention}/query")
    entries += dense(tuple(f"{torch}.{name}" for name in names.key_value), f"{attention}/key_value")
    entries += dense((f"{torch}.{names.proj}",), f"{attention}/proj")
    if reduces:
        entries += conv(f"{torch}.{names.sr}", f"{attention}/sr")
        entries += norm(f"{torch}.{names.sr_norm}", f"{attention}/norm")
    entries += norm(f"{torch}.{names.norm2}", f"{keras}/norm2")
    for name in ("fc1", "fc2"):
        entries += dense((f"{torch}.{getattr(names, name)}",), f"{keras}/feed_forward/{name}")
    return entries


def told(config: PVTConfig, get: Callable[[str], np.ndarray | None]) -> dict[str, Any]:
    """What the shapes of a checkpoint tell of its row: all but heads and epsilons.

    Args:
        config: the row, of which nothing is taken.
        get: gives the array of a variable's path, or None.
    Returns:
        Fields of the row; none where a weight that tells them is missing.
    """
    fields = ("depths", "embed_dims", "mlp_ratios", "sr_ratios", "patch_sizes")
    stages, table = [_told_stage(n, get) for n in range(1, 5)], get("stage1_position/table")
    if table is None or None in stages:
        return {}
    found: dict[str, Any] = dict(zip(fields, zip(*stages, strict=True), strict=True))  # type: ignore[arg-type]
    return found | {"image_size": table.shape[1] * found["patch_sizes"][0]}


def _told_stage(n: int, get: Callable[[str], np.ndarray | None]) -> tuple[int, ...] | None:
    """Depth, width, and ratios of a stage."""
    width, hidden = (
        get(f"stage{n}_block0/{name}") for name in ("norm1/gamma", "feed_forward/fc1/bias")
    )
    patch = get(f"stage{n}_patch_embedding/proj/kernel")
    if width is None or hidden is None or patch is None or not width.size:
        return None
    depth = next(
        block for block in itertools.count(1) if get(f"stage{n}_block{block}/norm1/gamma") is None
    )
    reduction = get(f"stage{n}_block0/attention/sr/kernel")
    ratio = 1 if reduction is None else reduction.shape[0]
    return depth, width.size, hidden.size // width.size, ratio, patch.shape[0]


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
