"""The families: one record each for what `PVTConfig.family` names.

Standard library only. A record names code as "package.module:name", which `Family.load` imports
when it is used, as those of `keras_pvt.systems` do: so models, conversion, flops and the variants'
own arithmetic read the records, and none of them imports a family.

A family of your own is its graph, its key map, its cost and a record:

    register(Family("pvt_v2", title="PVTv2", ...))
"""

import dataclasses
import operator
from collections.abc import Callable, Mapping
from typing import Any

from keras_pvt.records import Reference, Registry, resolve


@dataclasses.dataclass(frozen=True)
class Rates:
    """Probabilities of dropping, each 0 <= rate < 1; 0 never drops.

    Args:
        drop: features, after position embeddings and projections.
        attention_drop: attention weights.
        drop_path: residual branches, of the last block; earlier blocks have less, linearly
            from 0 in the first.
    """

    drop: float = 0.0
    attention_drop: float = 0.0
    drop_path: float = 0.0


def _check_no_overlap(config) -> None:
    """Raise ValueError for a row with what only PVTv2 has."""
    if config.patch_strides is not None or config.linear:
        raise ValueError(
            f"`patch_strides` {config.patch_strides} and `linear` {config.linear}: family "
            f"{config.family!r} has neither overlapping patches nor linear attention; pass "
            'family="pvt_v2".'
        )


@dataclasses.dataclass(frozen=True)
class Family:
    """A kind of backbone, and who does what with it.

    Fields that name code are an object, or "package.module:name", see `load`. `config` is always
    a `keras_pvt.PVTConfig`, a row of the variant table.

    Args:
        name: that `PVTConfig.family` takes.
        title: for people.
        pyramid: `(images, config, rates, dtype) -> dict`, the graph: from the name of a layer to
            the map that it gives, of stages 1 to 4; the names begin with "stage".
        features: `(images, config, rates, dtype) -> (B, C)`, the graph up to a classifier's head.
        config_of: `(model) -> config`, read off the layers; raises ValueError for a model of
            another family.
        key_map: `(config, layout) -> list[Entry]`, every weight of a classifier in the order of
            the official state dict, see `keras_pvt.conversion.maps.entries`.
        layouts: how keys begin in each layout of names; "official" first, which needs none.
        shapes: `(config) -> dict`, key and shape of every tensor of an official checkpoint.
        told: `(config, get) -> dict`, the fields of the row that the shapes of a checkpoint tell;
            `get` gives the array of a variable's path, or None.
        backbone_cost: `(config, height, width, channels, class_row) -> list[Part]`.
        classifier_cost: `(config, height, width, channels, classes) -> list[Part]`.
        min_size: `(config) -> int`, the smallest side of an image in pixels.
        check: `(config) -> None`, raises ValueError for a row that the family cannot have.
        cells: `(side, step) -> int`, cells a side of what a patch embedding makes of a map.
        width: path of a vector that is as wide as stage `{n}`, which counts from 1.
        token: path of the class token's variable, which the pyramid lacks; None: there is none,
            and `pooling="token"` has no meaning.
        bare: how keys begin in a file without the prefix of its layout, and that prefix. Models
            without a head have it in no file.
        whole: layouts of libraries that have no model without a head.
        outline: fields of a row whose key map has all that a checkpoint may have, for `told`.
        untold: fields of the row that the answers depend on and no shape of a weight tells.
        rates: `(model) -> Rates`, read off the layers; None: it never drops.
    """

    name: str
    title: str
    pyramid: Reference
    features: Reference
    config_of: Reference
    key_map: Reference
    shapes: Reference
    told: Reference
    backbone_cost: Reference
    classifier_cost: Reference
    min_size: Reference
    layouts: Mapping[str, str] = dataclasses.field(default_factory=lambda: {"official": ""})
    check: Callable[[Any], None] = _check_no_overlap
    cells: Callable[[int, int], int] = operator.floordiv
    width: str = "stage{n}_block0/norm1/gamma"
    token: str | None = None
    bare: Mapping[str, str] = dataclasses.field(default_factory=dict)
    whole: tuple[str, ...] = ()
    outline: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    untold: tuple[str, ...] = ()
    rates: Reference = None

    def load(self, field: str) -> Any:
        """What a field refers to, imported now.

        Args:
            field: name of a field that names code.
        """
        return resolve(getattr(self, field))


FAMILIES: Registry[Family] = Registry("family")
register, named = FAMILIES.register, FAMILIES.named


def config_of(model) -> Any:
    """The configuration of the backbone in a model, read off its layers.

    Args:
        model: a functional model that keras_pvt built.
    Raises:
        ValueError: the model is of no family.
    """
    errors = []
    for family in FAMILIES.values():
        try:
            return family.load("config_of")(model)
        except ValueError as error:
            errors.append(error)
    raise errors[0]


def rates_of(model) -> Rates:
    """The rates of dropping of the backbone in a model, read off its layers.

    Args:
        model: a functional model that keras_pvt built.
    Raises:
        ValueError: the model is of no family.
    """
    family = named(config_of(model).family)
    return Rates() if family.rates is None else family.load("rates")(model)


def _check_overlap(config) -> None:
    """Raise ValueError for patches that do not overlap, or have no middle cell."""
    pairs = list(zip(config.patch_sizes, config.steps, strict=True))
    if config.patch_strides is None or any(size % 2 == 0 or step >= size for size, step in pairs):
        raise ValueError(
            f"`patch_sizes` {config.patch_sizes} with `patch_strides` {config.patch_strides}: "
            f"patches of family {config.family!r} overlap, and have as many cells on each side of "
            "the middle, so sizes must be odd and above their strides, as (7, 3, 3, 3) with "
            "(4, 2, 2, 2) are."
        )


def _from_floors(config) -> int:
    """The side that leaves a cell where patch embeddings and reductions both round down."""
    return max(s * r for s, r in zip(config.strides, config.sr_ratios, strict=True))


def _from_reductions(config) -> int:
    """The side that leaves a cell where reductions round down, and patch embeddings up."""
    if config.linear:
        return 1
    return max(s * (r - 1) + 1 for s, r in zip(config.strides, config.sr_ratios, strict=True))


def _rounded_up(side: int, step: int) -> int:
    return -(-side // step)


register(
    Family(
        "pvt",
        title="PVT",
        pyramid="keras_pvt.models.pvt:pyramid",
        features="keras_pvt.models.pvt:class_token",
        config_of="keras_pvt.models.pvt:config_of",
        key_map="keras_pvt.conversion.maps.pvt:key_map",
        layouts={"official": "", "huggingface": "pvt.", "mmdetection": "layers.0.0.projection."},
        shapes="keras_pvt.conversion.maps.stages:official_shapes",
        told="keras_pvt.conversion.maps.pvt:told",
        backbone_cost="keras_pvt.flops.pvt:backbone",
        classifier_cost="keras_pvt.flops.pvt:classifier",
        min_size=_from_floors,
        token="class_token/token",
        bare={"encoder.patch_embeddings.": "pvt."},
        whole=("huggingface",),
        outline={"depths": (64,) * 4, "sr_ratios": (2,) * 4},
        untold=("num_heads", "epsilon", "reduction_epsilon"),
        rates="keras_pvt.models.graph:rates_of",
    )
)

register(
    Family(
        "pvt_v2",
        title="PVTv2",
        pyramid="keras_pvt.models.pvt_v2:pyramid",
        features="keras_pvt.models.pvt_v2:mean",
        config_of="keras_pvt.models.pvt_v2:config_of",
        key_map="keras_pvt.conversion.maps.pvt_v2:key_map",
        layouts={
            "official": "",
            "timm": "stages.0.",
            "timm_features": "stages_0.",
            "huggingface": "pvt_v2.",
            "mmdetection": "layers.0.0.projection.",
            "kecam": "stem_conv/",
        },
        shapes="keras_pvt.conversion.maps.stages:official_shapes",
        told="keras_pvt.conversion.maps.pvt_v2:told",
        backbone_cost="keras_pvt.flops.pvt_v2:backbone",
        classifier_cost="keras_pvt.flops.pvt_v2:classifier",
        min_size=_from_reductions,
        check=_check_overlap,
        cells=_rounded_up,
        bare={"encoder.layers.0.patch_embedding.": "pvt_v2."},
        outline={"depths": (64,) * 4, "sr_ratios": (2,) * 4},
        untold=("num_heads", "epsilon", "reduction_epsilon", "patch_strides"),
        rates="keras_pvt.models.graph:rates_of",
    )
)
