"""What the key maps of all families share: encoder blocks, and what shapes tell of a stage."""

import itertools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_pvt.conversion.layouts import DENSE, DEPTHWISE, POINTWISE, SAME, split
from keras_pvt.conversion.maps.entries import Entry, classifier_map, conv, dense, norm
from keras_pvt.variants import PVTConfig


class BlockNames(NamedTuple):
    """The words of one kind of checkpoint for what is in an encoder block, after its name.

    Args:
        query: empty where queries, keys and values are one tensor.
        key_value: two where keys and values are two tensors; the name of all three, up to
            "weight", where they are one.
        depthwise: of PVTv2's feed-forward.
        pointwise: whether the feed-forward's dense layers are 1 x 1 convolutions.
    """

    norm1: str
    query: str
    key_value: tuple[str, ...]
    proj: str
    sr: str
    sr_norm: str
    norm2: str
    fc1: str
    fc2: str
    depthwise: str = ""
    pointwise: bool = False


OFFICIAL = BlockNames(
    norm1="norm1",
    query="attn.q",
    key_value=("attn.kv",),
    proj="attn.proj",
    sr="attn.sr",
    sr_norm="attn.norm",
    norm2="norm2",
    fc1="mlp.fc1",
    fc2="mlp.fc2",
    depthwise="mlp.dwconv.dwconv",
)
MMDETECTION = OFFICIAL._replace(
    query="",
    key_value=("attn.attn.in_proj_",),
    proj="attn.attn.out_proj",
    fc1="ffn.layers.0",
    fc2="ffn.layers.4",
    depthwise="ffn.layers.1",
    pointwise=True,
)


def block(
    names: BlockNames, torch: str, keras: str, reduces: bool, convolutional: bool = False
) -> list[Entry]:
    """An encoder block.

    Args:
        names: of what is in it.
        torch: its own name in the checkpoint.
        keras: its layer.
        reduces: whether a convolution makes its keys and values.
        convolutional: whether it is PVTv2's.
    """
    attention, feed_forward = f"{keras}/attention", f"{keras}/feed_forward"
    parts = [f"{torch}.{name}" for name in names.key_value]
    entries = norm(f"{torch}.{names.norm1}", f"{keras}/norm1")
    if names.query:
        entries += dense((f"{torch}.{names.query}",), f"{attention}/query")
        entries += dense(tuple(parts), f"{attention}/key_value")
    else:
        for theirs, ours, layout in (("weight", "kernel", DENSE), ("bias", "bias", SAME)):
            paths = f"{attention}/query/{ours}", f"{attention}/key_value/{ours}"
            first = split(layout, lambda rows: rows // 3)
            entries.append(Entry((f"{parts[0]}{theirs}",), paths, first))
    entries += dense((f"{torch}.{names.proj}",), f"{attention}/proj")
    if reduces:
        entries += conv(f"{torch}.{names.sr}", f"{attention}/sr")
        entries += norm(f"{torch}.{names.sr_norm}", f"{attention}/norm")
    entries += norm(f"{torch}.{names.norm2}", f"{keras}/norm2")
    layout = POINTWISE if names.pointwise else DENSE
    wide, narrow = (
        dense((f"{torch}.{name}",), f"{feed_forward}/{ours}", layout)
        for name, ours in ((names.fc1, "fc1"), (names.fc2, "fc2"))
    )
    between = conv(f"{torch}.{names.depthwise}", f"{feed_forward}/depthwise", DEPTHWISE)
    return entries + wide + (between if convolutional else []) + narrow


def told_by_stages(get: Callable[[str], np.ndarray | None]) -> dict[str, Any]:
    """The fields of a row that the weights of patch embeddings and blocks tell.

    Args:
        get: gives the array of a variable's path, or None.
    Returns:
        Depths, widths, ratios and sizes of patches; nothing where a weight that tells is missing.
    """
    fields = ("depths", "embed_dims", "mlp_ratios", "sr_ratios", "patch_sizes")
    stages = [_told_stage(n, get) for n in range(1, 5)]
    if None in stages:
        return {}
    return dict(zip(fields, zip(*stages, strict=True), strict=True))  # type: ignore[arg-type]


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
    entries = classifier_map(config, "official")
    return {entry.torch[0]: _shape(entry.keras[-1], config) for entry in entries}


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
    patch, ratio = config.patch_sizes[stage], 1 if config.linear else config.sr_ratios[stage]
    return {
        "patch_embedding/proj": (dim, inputs, patch, patch),
        "block/attention/query": (dim, dim),
        "block/attention/key_value": (2 * dim, dim),
        "block/attention/proj": (dim, dim),
        "block/attention/sr": (dim, dim, ratio, ratio),
        "block/feed_forward/fc1": (hidden, dim),
        "block/feed_forward/depthwise": (hidden, 1, 3, 3),
        "block/feed_forward/fc2": (dim, hidden),
    }
