"""`keras-pvt info`: what a variant costs, stage by stage."""

import argparse

from keras_pvt import flops
from keras_pvt.cli import arguments
from keras_pvt.variants import VARIANTS, WEIGHTS

EPILOG = """\
examples:
  keras-pvt info pvt_small
  keras-pvt info pvt_small --size 480x640 --backbone

SR is the side of the spatial reduction of keys and values. GFLOPs are billions of multiply-adds,
counted as in the PVT paper: convolutions, dense layers and attention (also by itself in the last
column); no norm, softmax or resize.
"""


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "info",
        help="parameters, GFLOPs and shapes of a variant",
        description="Parameters, GFLOPs and shapes of a variant, stage by stage.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("variant", choices=VARIANTS, metavar="VARIANT", help=", ".join(VARIANTS))
    parser.add_argument(
        "--size",
        type=arguments.size,
        metavar="HxW",
        help="image in pixels (default: what the variant was trained on)",
    )
    parser.add_argument(
        "--backbone",
        action="store_true",
        help="the feature pyramid, without class token and head",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from rich.console import Console

    config = VARIANTS[options.variant]
    height, width = options.size or (config.image_size, config.image_size)
    account = flops.backbone if options.backbone else flops.classifier
    parts = account(config, height, width)
    console = Console()
    console.print(_table(f"{options.variant}, image {height}x{width}", config, parts))
    for (variant, name), facts in WEIGHTS.items():
        if variant == options.variant:
            console.print(
                f'weights="{name}": top-1 {facts.top1:g} % at {facts.image_size} pixels; '
                f"{facts.source}",
                highlight=False,
            )
    return 0


def _table(title, config, parts):
    from rich.table import Table

    table = Table("part", title=title, title_justify="left")
    for column in ("output", "blocks", "heads", "SR", "parameters", "GFLOPs", "attention"):
        table.add_column(column, justify="right")
    for n, part in enumerate(parts):
        is_stage = n < len(config.depths)
        rows = (config.depths, config.num_heads, config.sr_ratios)
        structure = [str(row[n]) for row in rows] if is_stage else [""] * len(rows)
        table.add_row(part.name, "x".join(map(str, part.output)), *structure, *_costs(part.cost))
    table.add_section()
    table.add_row("total", *[""] * 4, *_costs(flops.total(parts)), style="bold")
    return table


def _costs(cost: flops.Cost) -> list[str]:
    return [f"{cost.parameters:,}", f"{cost.gflops:.3f}", f"{cost.attention / 1e9:.3f}"]
