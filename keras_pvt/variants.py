"""The variants: one row each, read by constructors, conversion, docs and tests.

Standard library only, so that tools can read the table without Keras.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from keras_pvt import families

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Rows, and columns, of keys and values where attention is linear, for maps of any size.
POOL_SIZE = 7

RELEASE_URL = "https://github.com/whai362/PVT/releases/download/v2"


@dataclasses.dataclass(frozen=True)
class PVTConfig:
    """One row of an architecture table. Tuples have one entry for each of stages 1 to 4.

    Args:
        depths: encoder blocks L_i.
        family: which architecture the row is of, one of `keras_pvt.families.FAMILIES`; "pvt" is
            the first paper's, "pvt_v2" the second's.
        embed_dims: channels C_i.
        num_heads: attention heads N_i; each divides its C_i.
        mlp_ratios: hidden over outer width of the feed-forward, E_i.
        sr_ratios: spatial reduction R_i of keys and values, in cells a side; 1 is none.
        patch_sizes: side of a patch P_i, in cells of the map before (pixels in stage 1).
        patch_strides: cells from one patch to the next, S_i; None where patches do not overlap.
            Only PVTv2's overlap, and they must.
        linear: keys and values are pooled to 7 x 7 cells in every stage, whatever `sr_ratios`
            say; for PVTv2, whose "-Li" it is.
        image_size: side in pixels of the images whose grids the position tables have.
        classes: width of the classifier's head.
        epsilon: in the norms of the blocks and the last norm.
        reduction_epsilon: in the norms of patch embeddings and spatial reductions.

    Raises:
        ValueError: an unknown family; a row that is not four integers of at least 1; an image size
            or classes below 1; heads that do not divide the channels; two stages of one level;
            patches that the family does not have.
    Source:
        PVT, arXiv 2102.12122, table 1; whai362/PVT classification/pvt.py. The paper prints 3
        blocks for stage 2 of Small and Medium; the code, and the published parameter counts,
        have 4. PVTv2, arXiv 2106.13797, table 1, which prints 3 for 4 likewise; branch v2,
        classification/pvt_v2.py.
    """

    depths: tuple[int, ...]
    family: str = "pvt"
    embed_dims: tuple[int, ...] = (64, 128, 320, 512)
    num_heads: tuple[int, ...] = (1, 2, 5, 8)
    mlp_ratios: tuple[int, ...] = (8, 8, 4, 4)
    sr_ratios: tuple[int, ...] = (8, 4, 2, 1)
    patch_sizes: tuple[int, ...] = (4, 2, 2, 2)
    patch_strides: tuple[int, ...] | None = None
    linear: bool = False
    image_size: int = 224
    classes: int = 1000
    epsilon: float = 1e-6
    reduction_epsilon: float = 1e-5

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # JSON has no tuples
                object.__setattr__(self, field.name, tuple(value))
        family = families.named(self.family)
        stages = {
            name: getattr(self, name)
            for name in (
                "depths",
                "embed_dims",
                "num_heads",
                "mlp_ratios",
                "sr_ratios",
                "patch_sizes",
                "patch_strides",
            )
            if name != "patch_strides" or self.patch_strides is not None
        }
        for name, row in stages.items():
            counts = isinstance(row, tuple) and all(type(n) is int and n > 0 for n in row)
            if not counts or len(row) != 4:
                raise ValueError(
                    f"`{name}` must be four integers of at least 1, one a stage; got {row!r}."
                )
        no_head = " A model without a head is built with `include_top=False`."
        for name, more in (("image_size", ""), ("classes", no_head)):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise ValueError(f"`{name}` must be an integer of at least 1; got {value!r}.{more}")
        if any(c % n for c, n in zip(self.embed_dims, self.num_heads, strict=True)):
            raise ValueError(
                f"`num_heads` {self.num_heads} must divide `embed_dims` {self.embed_dims}, stage "
                "by stage."
            )
        family.check(self)
        if len(set(self.levels)) < 4:
            raise ValueError(
                f"patches {self.steps} cells apart give strides of {self.strides} pixels, that is "
                f"levels {', '.join(self.levels)}: each stage must have a level of its own, so "
                "patches of stages 2 to 4 must be 2 cells or more apart."
            )

    @property
    def steps(self) -> tuple[int, ...]:
        """Cells from one patch to the next, of the map before each stage."""
        return self.patch_sizes if self.patch_strides is None else self.patch_strides

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per cell of each stage's map; 4, 8, 16, 32 in the paper."""
        strides, stride = [], 1
        for step in self.steps:
            stride *= step
            strides.append(stride)
        return tuple(strides)

    @property
    def grids(self) -> tuple[int, ...]:
        """Side of each stage's position table, in cells."""
        return tuple(self.image_size // stride for stride in self.strides)

    @property
    def levels(self) -> tuple[str, ...]:
        """Pyramid level of each stage: stride 2**n is "Pn"."""
        return tuple(f"P{stride.bit_length() - 1}" for stride in self.strides)

    @property
    def min_size(self) -> int:
        """Smallest image side, in pixels, that leaves a cell after every reduction."""
        return families.named(self.family).load("min_size")(self)


@dataclasses.dataclass(frozen=True)
class Weights:
    """Where one set of trained weights comes from, and how good it is.

    Args:
        source: where it was trained and published.
        url: of the file; None for weights that ship inside the package.
        sha256: of the file, hexadecimal; None where none was ever published.
        classes: class table of the head, "imagenet" or "cifar10"; None if its classes were never
            published, so that the weights are for backbones.
        top1: published accuracy in percent on the validation set of `classes`; None where there is
            none.
        top5: published top-5 accuracy in percent; None where there is none.
        mean: per channel, of RGB in 0..1.
        std: per channel, of RGB in 0..1; a standard deviation, not a variance.
        image_size: side of the square crop that the model takes, in pixels.
        resize_size: the short side is resized to this many pixels before the centre crop.
    """

    source: str
    url: str | None
    sha256: str | None
    classes: str | None
    top1: float | None
    top5: float | None = None
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    image_size: int = 224
    resize_size: int = 256


# What all rows of PVTv2 share.
_v2 = functools.partial(
    PVTConfig, family="pvt_v2", patch_sizes=(7, 3, 3, 3), patch_strides=(4, 2, 2, 2)
)

VARIANTS: dict[str, PVTConfig] = {
    # Ours, for 32-pixel images; not in the paper.
    "pvt_nano": PVTConfig(
        depths=(1, 2, 2, 1),
        embed_dims=(32, 64, 160, 256),
        num_heads=(1, 2, 5, 8),
        mlp_ratios=(4, 4, 4, 4),
        sr_ratios=(4, 2, 1, 1),
        patch_sizes=(2, 2, 2, 2),
        image_size=32,
        classes=10,
    ),
    "pvt_tiny": PVTConfig(depths=(2, 2, 2, 2)),
    "pvt_small": PVTConfig(depths=(3, 4, 6, 3)),
    "pvt_medium": PVTConfig(depths=(3, 4, 18, 3)),
    "pvt_large": PVTConfig(depths=(3, 8, 27, 3)),
    # Ours, as pvt_nano is. Wide early stages: the finest maps hold most of an image of 32 pixels.
    "pvt_v2_nano": _v2(
        depths=(2, 2, 2, 1),
        embed_dims=(64, 96, 160, 192),
        num_heads=(2, 3, 5, 6),
        mlp_ratios=(4, 4, 4, 4),
        sr_ratios=(4, 2, 1, 1),
        patch_sizes=(3, 3, 3, 3),
        patch_strides=(2, 2, 2, 2),
        image_size=32,
        classes=10,
    ),
    "pvt_v2_b0": _v2(depths=(2, 2, 2, 2), embed_dims=(32, 64, 160, 256)),
    "pvt_v2_b1": _v2(depths=(2, 2, 2, 2)),
    "pvt_v2_b2": _v2(depths=(3, 4, 6, 3)),
    "pvt_v2_b2_li": _v2(depths=(3, 4, 6, 3), linear=True),
    "pvt_v2_b3": _v2(depths=(3, 4, 18, 3)),
    "pvt_v2_b4": _v2(depths=(3, 8, 27, 3)),
    "pvt_v2_b5": _v2(depths=(3, 6, 40, 3), mlp_ratios=(4, 4, 4, 4)),
}


@dataclasses.dataclass(frozen=True)
class LookAlike:
    """Another project's network with the keys of a family, and shapes that a row of it could have.

    Its weights differ, so its files are not taken for the family's if a shape tells the difference.
    It can be loaded with a row of its own.

    Args:
        name: of models with its weights.
        title: for people.
        variant: the row that it is nearest to.
        row: the fields in which it is another, or must be asked for by.
        layouts: in which its files are.
        order: two keys of the official layout, of which the first comes before the second in its
            files and after it in those of the family's code. It makes a file of which all shapes
            are the row's a doubtful one; a file may have been written in another order.
    """

    name: str
    title: str
    variant: str
    row: Mapping[str, Any]
    layouts: tuple[str, ...]
    order: tuple[str, str]

    @property
    def config(self) -> PVTConfig:
        """Its row."""
        return dataclasses.replace(VARIANTS[self.variant], **self.row)


# NVlabs/SegFormer's mix_transformer.py makes its four patch embeddings first. Of B5, whose ratios
# are these too, nothing else is another. mmsegmentation's names are those of mmdetection.
LOOK_ALIKES = tuple(
    LookAlike(
        name=f"mit_b{n}",
        title=f"SegFormer's MiT-B{n}",
        variant=f"pvt_v2_b{n}",
        row={"mlp_ratios": (4, 4, 4, 4)},
        layouts=("official", "mmdetection"),
        order=("patch_embed4.proj.weight", "block1.0.norm1.weight"),
    )
    for n in range(6)
)

# Of the files that other projects name by it, one of B0 and three of B2, which agree. The publisher
# never said one: of the other files the first download records it, see keras_pvt/download.
_SHA256 = {
    "pvt_v2_b0": "fbb931ad59ab4d64e3f4370991326803e3af882fcaa877b81550d368d1fbab1f",
    "pvt_v2_b2": "80711cd1b37ffba12bec6c7a2a7c54efe2315ed635e6d2055fd51c3e909ede4d",
}

# Keyed by variant and the name that `weights=` takes.
WEIGHTS: dict[tuple[str, str], Weights] = {
    (variant, "cifar10"): Weights(
        source="ours, docs/pvt_nano.md",
        url=None,
        sha256=None,
        classes="cifar10",
        top1=top1,
        image_size=32,
        resize_size=32,
    )
    for variant, top1 in (("pvt_nano", 83.4), ("pvt_v2_nano", 90.2))
} | {
    (variant, "imagenet"): Weights(
        source="whai362/PVT, release v2",
        url=f"{RELEASE_URL}/{variant}.pth",
        sha256=_SHA256.get(variant),
        classes="imagenet",
        top1=top1,
        top5=top5,
    )
    for variant, top1, top5 in (
        ("pvt_tiny", 75.1, None),
        ("pvt_small", 79.8, 94.95),
        ("pvt_medium", 81.2, None),
        ("pvt_large", 81.7, None),
        ("pvt_v2_b0", 70.5, None),
        ("pvt_v2_b1", 78.7, None),
        ("pvt_v2_b2", 82.0, None),
        ("pvt_v2_b2_li", 82.1, None),
        ("pvt_v2_b3", 83.1, None),
        ("pvt_v2_b4", 83.6, None),
        ("pvt_v2_b5", 83.8, None),
    )
}
# Trained on ImageNet-22k; how well, and the order of its classes, was never said.
WEIGHTS["pvt_v2_b5", "imagenet22k"] = Weights(
    source="whai362/PVT, release v2",
    url=f"{RELEASE_URL}/pvt_v2_b5_22k.pth",
    sha256=None,
    classes=None,
    top1=None,
)

# Instead of a name of weights: the first that the table has for a variant.
PRETRAINED = "pretrained"


def are_none(weights: object) -> bool:
    """Whether `weights` asks for random initial values: None, "none" or an empty text.

    Args:
        weights: as given by a user.
    """
    return weights is None or str(weights).lower() in ("", "none")


def default_name(variant: str) -> str:
    """The first name that the table of weights has for a variant.

    Raises:
        ValueError: it has none.
    """
    for owner, name in WEIGHTS:
        if owner == variant:
            return name
    raise ValueError(f"{variant} has no named weights; give a checkpoint file.")


def list_variants(family: str | None = None) -> list[str]:
    """Names of the variants, as `keras_pvt.classifier` and `keras_pvt.PVTBackbone` take them.

    Args:
        family: only those of this family, such as "pvt"; None lists all.
    Returns:
        Names, the smaller models of a family first.
    Raises:
        ValueError: no variant is of this family.
    Example:
        >>> keras_pvt.list_variants("pvt")
        ['pvt_nano', 'pvt_tiny', 'pvt_small', 'pvt_medium', 'pvt_large']
    """
    names = [name for name, row in VARIANTS.items() if family in (None, row.family)]
    if not names:
        families = dict.fromkeys(row.family for row in VARIANTS.values())
        raise ValueError(f"no variant is of family {family!r}; there are {', '.join(families)}.")
    return names
