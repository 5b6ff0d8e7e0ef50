"""`keras-pvt data`: what a data set is, what is wrong with it, and how samples of it look."""

import argparse
import json
import pathlib

from keras_pvt.cli import arguments

SHEET = pathlib.Path("sheet.png")
SHOWN = 3  # places of each kind of problem
MOST_CLASSES = 40  # lines of them

DESCRIPTION = """\
Inspect a data set for `keras-pvt train`: its format, its splits, the number of images and objects
of each class, their sizes, and problems, by name. A sheet of 16 samples shows their boxes, masks or
classes.

PATH is a folder, or the file that describes the data, such as data.yaml. The format is recognised
by the rules of docs/data.md; if two fit, --format decides."""

EPILOG = """\
examples:
  keras-pvt data photos/
  keras-pvt data yolo/data.yaml --out samples.png
  keras-pvt data VOCdevkit/VOC2012 --format voc
  keras-pvt data boxes.json --images photos/
  keras-pvt data photos/ --classes cat,dog --json > photos.json

The exit status is 0 if the data can be read, even if some of them have problems.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", metavar="PATH", type=pathlib.Path, help="folder, or file that describes the data")
    add(
        "--format",
        default="",
        metavar="NAME",
        help="format, such as voc (default: the one that fits)",
    )
    add("--images", type=pathlib.Path, help="folder of a COCO JSON's images (default: its own)")
    add(
        "--reduce-zero",
        action="store_true",
        help="for masks: id 0 stands for no class, 1 is the first",
    )
    add(
        "--classes",
        metavar="A,B",
        help="class names in the order of the labels (default: as stored)",
    )
    add(
        "--out",
        type=pathlib.Path,
        metavar="PNG",
        help=f"sheet to write (default: {SHEET}; with --json none)",
    )
    add(
        "--seed",
        type=arguments.zero_or_more,
        default=0,
        help="seed of the choice of samples (default: 0)",
    )
    add("--json", action="store_true", help="write JSON, with all problems")


def run(options: argparse.Namespace) -> int:
    """Say what there is; 0 once it is said and drawn."""
    from keras_pvt.cli.summaries import draw, summarize

    out = options.out or (None if options.json else SHEET)
    if out is not None and out.resolve().is_relative_to(options.path.resolve()):
        raise ValueError(f"the sheet {out} would be an image of the data; pass --out elsewhere.")
    classes = options.classes.split(",") if options.classes else None
    summary = summarize(options.path, options.format, classes, options.images, options.reduce_zero)
    if options.json:
        print(json.dumps(summary.content, indent=1), flush=True)
    else:
        for line in _lines(summary.content):
            print(line, flush=True)
    if out is not None:  # the last, as it may need a library that is not there
        draw(summary, out, options.seed)
        if not options.json:
            print(f"sheet: {out}")
    return 0


def _lines(content: dict):
    """What people read of a summary."""
    yield f"{content['task']}: {content['title']} ({content['format']}), as {content['why']}"
    for name, part in content["splits"].items():
        counted = f", {part['objects']} objects" if "objects" in part else ""
        empty = f", {part['without']} of them without one" if part.get("without") else ""
        classes = part["classes"]
        yield (f"{name or 'all'}: {part['images']} images{counted}{empty}, {len(classes)} classes")
        yield f"  images: {_sides(part['image_sizes'])}"
        if part.get("box_sizes"):
            yield f"  boxes: {_sides(part['box_sizes'])}; {_areas(part['areas'])}"
        if part.get("outlines"):
            yield f"  outlines: {part['outlines']} of {part['objects']} objects have one"
        width = max(map(len, classes), default=0)
        for class_name, counts in list(classes.items())[:MOST_CLASSES]:
            said = ", ".join(f"{value} {what}" for what, value in counts.items())
            yield f"  {class_name:<{width}}  {said}"
        if len(classes) > MOST_CLASSES:
            yield f"  and {len(classes) - MOST_CLASSES} more classes; --json has all"
        for kind, places in part["report"].items():
            yield f"  {len(places)} x {kind}"
            for place in places[:SHOWN]:
                yield f"      {place}"
            if len(places) > SHOWN:
                yield "      ..."


def _sides(sizes: dict) -> str:
    smallest, median, largest = (
        "{:g} x {:g}".format(*sizes[key]) for key in ("smallest", "median", "largest")
    )
    return f"width x height {median} in the middle, {smallest} to {largest}"


def _areas(areas: dict) -> str:
    return ", ".join(f"{share:.0%} {name}" for name, share in areas.items())
