"""Which checkpoint key belongs to which Keras variable: the only place with names."""

from typing import NamedTuple

from keras_pvt.conversion.layouts import (
    CONV,
    DENSE,
    POSITION,
    POSITION_WITH_CLASS,
    SAME,
    Layout,
    joined,
)
from keras_pvt.variants import PVTConfig


class Entry(NamedTuple):
    """One correspondence, read in both directions.

    Args:
        torch: state-dict keys; two for Hugging Face's separate key and value.
        keras: variable paths; two where the class token's position is split off.
        layout: turns the arrays of `torch` into those of `keras`, and back.
    """

    torch: tuple[str, ...]
    keras: tuple[str, ...]
    layout: Layout


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

LAYOUTS = (*NAMES, "keras")

# Keras files number a layer's variables in the order in which it made them.
_STORED_AS = {
    "kernel": 0,
    "bias": 1,
    "gamma": 0,
    "beta": 1,
    "moving_mean": 2,
    "moving_variance": 3,
    "table": 0,
    "token": 0,
    "position": 1,
}


def key_map(config: PVTConfig, layout: str) -> list[Entry]:
    """Every weight of a classifier, in the order of the official state dict.

    Args:
        config: row of the variant table.
        layout: "official" (whai362/PVT), "huggingface" (transformers), or "keras"
            (`.weights.h5` and `.keras`, as `keras_files` names what is in them).
    """
    if layout == "keras":
        return as_stored(key_map(config, "official"))
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


def pyramid_map(prefix: str, config: PVTConfig) -> list[Entry]:
    """The official weights of a backbone without class token, last norm and head.

    Args:
        prefix: before the backbone's keys, such as "backbone.".
        config: row of the variant table.
    """
    return [
        Entry(tuple(f"{prefix}{key}" for key in entry.torch), entry.keras, entry.layout)
        for entry in key_map(config, "official")
        if entry.keras[-1].startswith("stage")
    ]


def as_stored(entries: list[Entry]) -> list[Entry]:
    """The same variables, by the names that `keras_files` gives them."""
    paths = [path for entry in entries for path in entry.keras]
    return [Entry((_stored_name(path),), (path,), SAME) for path in paths]


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


def norm(torch: str, keras: str) -> list[Entry]:
    """Scale and offset of a norm."""
    return [
        Entry((f"{torch}.weight",), (f"{keras}/gamma",), SAME),
        Entry((f"{torch}.bias",), (f"{keras}/beta",), SAME),
    ]


def conv(torch: str, keras: str) -> list[Entry]:
    """Kernel and bias of a convolution."""
    return [
        Entry((f"{torch}.weight",), (f"{keras}/kernel",), CONV),
        Entry((f"{torch}.bias",), (f"{keras}/bias",), SAME),
    ]


def dense(torch: tuple[str, ...], keras: str) -> list[Entry]:
    """Kernel and bias of a dense layer; two of the checkpoint may be one in Keras."""
    kernel, bias = (DENSE, SAME) if len(torch) == 1 else (joined(DENSE), joined(SAME))
    return [
        Entry(tuple(f"{name}.weight" for name in torch), (f"{keras}/kernel",), kernel),
        Entry(tuple(f"{name}.bias" for name in torch), (f"{keras}/bias",), bias),
    ]


def _stored_name(path: str) -> str:
    layer, variable = path.rsplit("/", 1)
    return f"{layer}/{_STORED_AS[variable]}"
