"""Which checkpoint key belongs to which Keras variable: what the maps are made of."""

from typing import NamedTuple

from keras_pvt import families
from keras_pvt.conversion.layouts import (
    CONV,
    COUNTER,
    DENSE,
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


def classifier_map(config: PVTConfig, layout: str) -> list[Entry]:
    """Every weight of a classifier, in the order of the official state dict of its family.

    Args:
        config: row of the variant table.
        layout: of names, one of the family's `layouts`, or "keras" (`.weights.h5` and `.keras`,
            as `readers.keras_files` names what is in them).
    Raises:
        ValueError: a layout that the family does not have.
    """
    family = families.named(config.family)
    family_map = family.load("key_map")
    if layout == "keras":
        return as_stored(family_map(config, "official"))
    if layout not in family.layouts:
        raise ValueError(f"{family.title} is in no {layout} layout.")
    return family_map(config, layout)


def pyramid_map(prefix: str, config: PVTConfig, layout: str = "official") -> list[Entry]:
    """The weights of a backbone, without what is a classifier's.

    Args:
        prefix: before the backbone's keys, such as "backbone.".
        config: row of the variant table.
        layout: of the backbone's names, see `classifier_map`.
    """
    return [
        Entry(tuple(f"{prefix}{key}" for key in entry.torch), entry.keras, entry.layout)
        for entry in classifier_map(config, layout)
        if entry.keras[-1].startswith("stage")
    ]


def as_stored(entries: list[Entry]) -> list[Entry]:
    """The same variables, by the names that `keras_files` gives them."""
    paths = [path for entry in entries for path in entry.keras]
    return [Entry((_stored_name(path),), (path,), SAME) for path in paths]


def norm(torch: str, keras: str) -> list[Entry]:
    """Scale and offset of a norm."""
    return [
        Entry((f"{torch}.weight",), (f"{keras}/gamma",), SAME),
        Entry((f"{torch}.bias",), (f"{keras}/beta",), SAME),
    ]


def conv(torch: str, keras: str, layout: Layout = CONV) -> list[Entry]:
    """Kernel and bias of a convolution."""
    return [
        Entry((f"{torch}.weight",), (f"{keras}/kernel",), layout),
        Entry((f"{torch}.bias",), (f"{keras}/bias",), SAME),
    ]


def dense(torch: tuple[str, ...], keras: str, layout: Layout = DENSE) -> list[Entry]:
    """Kernel and bias of a dense layer; two of the checkpoint may be one in Keras."""
    kernel, bias = (layout, SAME) if len(torch) == 1 else (joined(layout), joined(SAME))
    return [
        Entry(tuple(f"{name}.weight" for name in torch), (f"{keras}/kernel",), kernel),
        Entry(tuple(f"{name}.bias" for name in torch), (f"{keras}/bias",), bias),
    ]


def kernel(torch: str, keras: str) -> Entry:
    """Kernel of a convolution without bias."""
    return Entry((f"{torch}.weight",), (f"{keras}/kernel",), CONV)


def batch_norm(torch: str, keras: str, suffix: str = "_norm") -> list[Entry]:
    """Scale, offset and statistics of a batch norm, and torch's counter of batches.

    Args:
        torch: its name in the checkpoint.
        keras: of the layer before it.
        suffix: that makes its own name of that.
    """
    keras += suffix
    return [
        *norm(torch, keras),
        Entry((f"{torch}.running_mean",), (f"{keras}/moving_mean",), SAME),
        Entry((f"{torch}.running_var",), (f"{keras}/moving_variance",), SAME),
        Entry((f"{torch}.num_batches_tracked",), (), COUNTER),
    ]


def neck(laterals: int, levels: int) -> list[Entry]:
    """A feature pyramid, in the words of mmdetection and mmsegmentation.

    Args:
        laterals: maps that come from the backbone's.
        levels: all maps.
    """
    entries = []
    for theirs, ours, count in (
        ("lateral_convs", "neck_lateral", laterals),
        ("fpn_convs", "neck_output", levels),
    ):
        for n in range(count):
            entries += conv(f"neck.{theirs}.{n}.conv", f"{ours}{n}")
    return entries


def _stored_name(path: str) -> str:
    layer, variable = path.rsplit("/", 1)
    return f"{layer}/{_STORED_AS[variable]}"
