"""`keras-pvt info`: what a variant, or a system on it, costs, part by part."""

import argparse

from keras_pvt import flops, systems
from keras_pvt.cli import arguments
from keras_pvt.cli.program import start_keras
from keras_pvt.variants import VARIANTS, WEIGHTS

DESCRIPTION = "Parameters, GFLOPs and shapes of a variant, or of a system on it."

EPILOG = """\
examples:
  keras-pvt info pvt_small
  keras-pvt info pvt_small --size 480x640 --backbone
  keras-pvt info pvt_small --system semantic_fpn
  keras-pvt info pvt_tiny --system retinanet --size 640x960 --classes 20
  keras-pvt info runs/animals/model.keras

SR is the side of the spatial reduction of keys and values. GFLOPs are billions of multiply-adds,
counted as in the PVT paper: convolutions, dense layers and attention (also by itself in the last
column), and an operation an element of ReLU and upsampling layers; no norm, softmax or resize.
docs/cost.md has all systems.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_named_model(
        parser,
        f"a variant ({', '.join(VARIANTS)}), or a trained model, a .keras file",
        arguments.variant_or_keras_file,
    )
    parser.add_argument(
        "--size",
        type=arguments.size,
        metavar="HxW",
        help="image in pixels (default: 512x512 for segmentation, 800x1280 for detection, else "
        "what the variant was trained on)",
    )
    system = parser.add_mutually_exclusive_group()
    system.add_argument(
        "--system", choices=systems.SYSTEMS, default="classifier", help="(default: %(default)s)"
    )
    system.add_argument(
        "--backbone",
        dest="system",
        action="store_const",
        const="backbone",
        help="the feature pyramid, without class token and head",
    )
    parser.add_argument(
        "--classes",
        type=arguments.positive,
        metavar="N",
        help="width of the head (default: as in the paper, or as the variant was trained)",
    )


def run(options: argparse.Namespace) -> int:
    from rich.console import Console

    name = arguments.named_model(options)
    if name not in VARIANTS:
        return _describe(name, Console())
    config = VARIANTS[name]
    system = systems.SYSTEMS[options.system]
    height, width = options.size or system.size or (config.image_size, config.image_size)
    if options.classes and system.task == "features":
        raise ValueError("a backbone has no classes; leave out --classes.")
    classes = {"classes": options.classes} if options.classes else {}
    parts = system.load("cost")(config, height, width, **classes)
    console = Console()
    console.print(_table(f"{name} {system.name}, image {height}x{width}", config, parts))
    print(f"GFLOPs with layer norms: {flops.total(parts).gflops_with_norms:.3f}")
    if system.counts is not None:
        print(system.load("counts")(parts))
    for (variant, weights), row in WEIGHTS.items():
        if variant == name:
            top1 = "of unknown accuracy" if row.top1 is None else f"top-1 {row.top1:g} %"
            console.print(
                f'weights="{weights}": {top1} at {row.image_size} pixels; {row.source}',
                highlight=False,
            )
    return 0


def _describe(path: str, console) -> int:
    """What a trained model is, and what it takes and gives."""
    from rich.table import Table

    from keras_pvt.models.trained_model import KINDS, VERBS, load_model

    start_keras()
    trained = load_model(path)
    size = "any" if trained.size is None else "x".join(map(str, trained.size))
    gives = {"classification": "probabilities", "detection": "boxes", "segmentation": "classes"}
    rows = {
        "task": f"{trained.task}: keras-pvt {VERBS[trained.task]} IMAGE --model {path}",
        "system": trained.system or KINDS[trained.task],
        "library": trained.library,
        "classes": f"{len(trained.classes)}: {', '.join(trained.classes)}",
        "size": size,
        "images": "RGB 0..255" if trained.pixels else "normalised by keras_pvt.preprocess_input",
        "gives": "logits" if trained.logits else gives[trained.task],
        "parameters": f"{trained.model.count_params():,}",
    }
    table = Table.grid(padding=(0, 2))
    for row in rows.items():
        table.add_row(*row)
    console.print(table, highlight=False)
    return 0


def _table(title, config, parts):
    from rich.box import SIMPLE
    from rich.table import Table

    # With lines between them, the columns would not fit in 80 characters.
    table = Table("part", title=title, title_justify="left", box=SIMPLE, collapse_padding=True)
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
