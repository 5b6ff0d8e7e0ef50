"""`keras-pvt info`: what a variant, or a system on it, costs, part by part; what a file is."""

import argparse
from collections.abc import Iterator

from keras_pvt import flops, systems
from keras_pvt.cli import arguments
from keras_pvt.variants import VARIANTS, WEIGHTS

DESCRIPTION = """\
Show the parameters, GFLOPs and shapes of a variant, or of a system (such as a detector) on it.
Or describe a file of weights: its model and library, its classes, missing weights, and how to load
it. Nothing in a file is executed, and no model is built."""

EPILOG = """\
examples:
  keras-pvt info pvt_small
  keras-pvt info pvt_small --size 480x640 --backbone
  keras-pvt info pvt_small --system semantic_fpn
  keras-pvt info pvt_tiny --system retinanet --size 640x960 --classes 20
  keras-pvt info runs/animals/model.keras
  keras-pvt info pvt_v2_b2.pth
  keras-pvt info run/last.pth --which ema --json
  keras-pvt info mirror/model.safetensors.index.json

SR is the factor by which spatial reduction shrinks each side of the map of keys and values. GFLOPs
are billions of multiply-adds, counted as in the PVT paper: convolutions, dense layers and attention
(also listed separately, in the last column), and one operation for each element of ReLU and
upsampling layers; norms, softmax and resizing are not counted. docs/cost.md has all systems, and
docs/weights.md lists the files that can be read.
"""


# Of the names of rows; and how many names of classes and weights are shown.
WIDTH = 12
SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_named_model(
        parser,
        f"a variant ({', '.join(VARIANTS)}), or a file of weights or of a model",
        arguments.variant_or_file,
    )
    parser.add_argument(
        "--size",
        type=arguments.size,
        metavar="HxW",
        help="image size in pixels (default: 512x512 for segmentation, 800x1280 for detection, "
        "else the variant's training size)",
    )
    system = parser.add_mutually_exclusive_group()
    system.add_argument(
        "--system",
        choices=systems.SYSTEMS,
        default="classifier",
        help="model to build on the variant (default: %(default)s)",
    )
    system.add_argument(
        "--backbone",
        dest="system",
        action="store_const",
        const="backbone",
        help="the same as --system backbone: the feature pyramid, without class token and head",
    )
    parser.add_argument(
        "--classes",
        type=arguments.positive,
        metavar="N",
        help="classes of the head (default: as in the paper, or as the variant was trained)",
    )
    parser.add_argument("--json", action="store_true", help="for a file: write JSON")
    arguments.add_which(parser)
    parser.add_argument(
        "--hash",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="for a file: compute its sha256, 0.1 s to 0.3 s for 100 MB (default: yes)",
    )


def run(options: argparse.Namespace) -> int:
    name = arguments.named_model(options)
    if name not in VARIANTS:
        return _describe(options)
    if options.json or options.which is not None:
        raise ValueError(f"--json and --which are for files; {name} is a variant.")
    from rich.console import Console

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


def _describe(options: argparse.Namespace) -> int:
    """What a file is: a line for each thing that it tells."""
    from keras_pvt.inspection import inspect_file

    found = inspect_file(arguments.named_model(options), options.which, options.hash)
    if options.json:
        print(found.as_json())
        return 0
    for name, value in _rows(found):
        # What comes from a file may hold anything, also what moves the cursor.
        shown = "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in value)
        print(f"{name:<{WIDTH}}{shown}")
    return 0


def _rows(found) -> Iterator[tuple[str, str]]:
    """What there is to say, by its name."""
    yield "file", f"{found.path}: {found.kind}, {found.size / 1e6:.1f} MB"
    if found.writer is not None:
        yield "written by", found.writer
    if found.part is not None:
        others = f"; others: {', '.join(found.others)} (--which)" if found.others else ""
        yield "state dict", f"{found.part}{others}"
    if found.task is not None:
        yield "task", f"{found.task}: {found.shell}"
    if found.system is not None:
        yield "system", found.system
    if found.family is not None:
        yield "family", found.family
        yield "variant", found.variant or "none: widths of its own"
        told = "; ".join(f"{name} {_spelt(value)}" for name, value in found.widths.items())
        yield "widths", told
    if found.layout is not None:
        yield "layout", f"{found.layout}, of {found.library}"
    elif found.library is not None:
        yield "library", found.library
    if found.prefix:
        yield "prefix", f"{found.prefix}, which loading takes off"
    if found.classes is not None:
        names = ", ".join((found.names or ())[:SHOWN]) or "without names"
        more = f" and {len(found.names) - SHOWN} more" if len(found.names or ()) > SHOWN else ""
        yield "classes", f"{found.classes}: {names}{more}"
    if found.trained_size is not None:
        yield "size", "x".join(map(str, found.trained_size))
    if found.images is not None:
        yield "images", found.images
    if found.gives is not None:
        yield "gives", found.gives
    if found.image_size is not None:
        yield "tables", f"of positions, for images of {found.image_size} pixels"
    dtypes = ", ".join(
        name if len(found.dtypes) == 1 else f"{count} {name}"
        for name, count in found.dtypes.items()
    )
    yield "tensors", f"{found.tensors}: {dtypes}"
    yield "parameters", f"{found.parameters:,}"
    for what in ("missing", "unexpected"):
        names = getattr(found, what)
        if names or found.family is not None:
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            yield what, f"{len(names)}{': ' if names else ''}{', '.join(names[:SHOWN])}{more}"
    if found.note is not None:
        yield "note", found.note
    if found.sha256 is not None:
        yield "sha256", found.sha256
        yield "published", found.published
    if found.python is not None:
        yield "python", found.python
    if found.shell is not None:
        yield "shell", found.shell


def _spelt(value) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


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
