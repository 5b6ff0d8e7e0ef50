"""The tables of docs/cost.md, from `keras_pvt.flops`; tools/make_tables.py writes them there."""

import dataclasses
from collections.abc import Iterable, Sequence

from keras_pvt import flops
from keras_pvt.families import FAMILIES
from keras_pvt.systems import SYSTEMS
from keras_pvt.variants import VARIANTS, list_variants

# The variants of the papers, by family.
PAPERS = {
    family: [name for name in list_variants(family) if not name.endswith("_nano")]
    for family in FAMILIES
}
SMALL = VARIANTS["pvt_small"]
# The paper's table 9: channels times 1.4, rounded down to what the heads divide.
WIDE = dataclasses.replace(SMALL, embed_dims=(89, 178, 445, 712))
# Sides in pixels of the images of the paper's figure 6.
SIDES = (224, 384, 512, 640, 800, 1024)


def parameters(family: str = "pvt") -> str:
    """Parameters of each system on each variant of a family."""
    rows = []
    for system in SYSTEMS:
        costs = [_cost(system, name, *_size(system)) for name in PAPERS[family]]
        rows.append([f"`{system}`", *(f"{cost.parameters:,}" for cost in costs)])
    return _markdown(["system", *PAPERS[family]], rows)


def gflops(family: str = "pvt") -> str:
    """GFLOPs of each system on each variant of a family, with layer norms in brackets."""
    cases = [(system, *_size(system)) for system in SYSTEMS]
    cases += [("backbone", 512, 512), ("retinanet", 640, 960)]
    rows = []
    for system, height, width in sorted(cases, key=lambda case: list(SYSTEMS).index(case[0])):
        costs = [_cost(system, name, height, width) for name in PAPERS[family]]
        cells = [f"{cost.gflops:.2f} ({cost.gflops_with_norms:.2f})" for cost in costs]
        rows.append([f"`{system}`", f"{height}x{width}", *cells])
    return _markdown(["system", "image", *PAPERS[family]], rows)


def growth_of_linear() -> str:
    """GFLOPs with layer norms, as PVTv2's figure 4 has them, of three of its classifiers."""
    names = ("pvt_v2_b0", "pvt_v2_b2", "pvt_v2_b2_li")
    rows = []
    for side in SIDES:
        costs = [_cost("classifier", name, side, side) for name in names]
        rows.append([str(side), *(f"{cost.gflops_with_norms:.1f}" for cost in costs)])
    return _markdown(["side", *names], rows)


def trans2seg() -> str:
    """Trans2Seg on PVT-Small by the level that joins in its head."""
    rows = []
    for level in ("P2", "P3", None):
        parts = flops.trans2seg(SMALL, *_size("trans2seg"), skip_level=level)
        cost = flops.total(parts)
        counts = (*flops.trans2seg_gflops(parts), cost.gflops)
        rows.append(
            [
                level or "none",
                f"{cost.parameters:,}",
                f"{cost.layer_parameters:,}",
                *(f"{count:.2f}" for count in counts),
            ]
        )
    return _markdown(
        [
            "`skip_level`",
            "parameters",
            "as table 7 counts",
            "GFLOPs, as table 7 counts",
            "and attention of the PVT",
            "everything",
            "`Cost.gflops`",
        ],
        rows,
    )


def deeper_or_wider() -> str:
    """PVT-Small made deeper and made wider, as classifiers."""
    rows = []
    for name, config in (
        ("PVT-Small", SMALL),
        ("deeper: PVT-Medium", VARIANTS["pvt_medium"]),
        ("wider: channels x 1.4", WIDE),
    ):
        cost = flops.total(flops.classifier(config, 224, 224))
        channels = "-".join(map(str, config.embed_dims))
        rows.append([name, channels, f"{cost.parameters:,}", f"{cost.gflops:.2f}"])
    return _markdown(["model", "channels", "parameters", "GFLOPs"], rows)


def growth(sides: Sequence[int] = SIDES) -> dict[str, list[float]]:
    """Billions of multiply-adds for square images, of PVT-Small and its rivals.

    ReLU is left out, as the GELU of transformers is.

    Args:
        sides: of the images in pixels.
    Returns:
        For each model, and PVT-Small without and only with attention, a figure a side.
    """
    counts: dict[str, list[int]] = {}
    for side in sides:
        ours = flops.total(flops.classifier(SMALL, side, side))
        models = {
            "ResNet-50": flops.total(flops.resnet50(side, side)).multiply_adds,
            "PVT-Small without attention": ours.layers,
            "its attention": ours.attention,
            "PVT-Small": ours.multiply_adds,
            "ViT-Small/32": flops.total(flops.vit_small(side, side, 32)).multiply_adds,
            "ViT-Small/16": flops.total(flops.vit_small(side, side, 16)).multiply_adds,
        }
        for name, count in models.items():
            counts.setdefault(name, []).append(count)
    return {name: [count / 1e9 for count in row] for name, row in counts.items()}


def input_scale(sides: Sequence[int] = SIDES) -> str:
    """`growth` as a table, with the last side's figures over the first's below."""
    columns = growth(sides)
    rows = [
        [str(side), *(f"{figure:.1f}" for figure in figures)]
        for side, figures in zip(sides, zip(*columns.values(), strict=True), strict=True)
    ]
    grown = [f"{figures[-1] / figures[0]:.1f}x" for figures in columns.values()]
    return _markdown(["side", *columns], [*rows, [f"{sides[0]} to {sides[-1]}", *grown]])


def _cost(system: str, variant: str, height: int, width: int) -> flops.Cost:
    return flops.total(SYSTEMS[system].load("cost")(VARIANTS[variant], height, width))


def _size(system: str) -> tuple[int, int]:
    return SYSTEMS[system].size or (224, 224)


def _markdown(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    lines = [f"| {' | '.join(row)} |\n" for row in (header, *rows)]
    lines.insert(1, "|---" * len(header) + "|\n")
    return "".join(lines)
