"""`keras-pvt evaluate`: what a model is worth on a data set."""

import argparse
import json
import math
import pathlib
import sys

from keras_pvt.cli import arguments

DESCRIPTION = """\
Measure a model on a data set: accuracy and calibration of a classifier, COCO's average precision of
a detector, mean IoU of a segmenter. Also write a confusion matrix and the worst images.

MODEL is a variant with its weights, a .keras file, a checkpoint, a repository on a hub, or an
artifact of `keras-pvt export` (.tflite, .onnx, .xml, a SavedModel), also a quantized one."""

EPILOG = """\
examples:
  keras-pvt evaluate runs/flowers/model.keras flowers
  keras-pvt evaluate pvt_nano cifar10 --split test                       # of tensorflow-datasets
  keras-pvt evaluate pvt_nano.tflite photos-by-class/
  keras-pvt evaluate runs/boxes/model.keras boxes.json --images photos
  keras-pvt evaluate segmenter.onnx street/ --ignored 11 --out report
  keras-pvt evaluate pvt_small.pth imagenet --classes imagenet --json

DATA depends on the model:
  classifier  a folder with CLASS/*, or with val/CLASS/*; the folders are named like the model's
              classes, or by their ids (n02123045)
  detector    a JSON file in COCO's format, or a folder in another format of docs/data.md, such as
              YOLO's
  segmenter   a folder with images/ and masks/, or with val/ and val_labels/
For a classifier or segmenter, it may also be the name of a data set of tensorflow-datasets.

These files are written to FOLDER: report.json (all numbers, and the worst images by name),
confusion.csv, confusion.png, worst.png and, for a classifier, calibration.png. The matrix of a
detector counts boxes with a score of at least --threshold; "nothing" stands for a missing object or
a missing box. A file that cannot be read is reported and left out, and the exit status is 1.
"""
SHOWN = 5  # classes that are confused most


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", metavar="MODEL", help="a variant, a file, or an exported artifact")
    add("data", metavar="DATA", help="a folder, a file, or a name of tensorflow-datasets")
    add("--split", default="val", help="split of the data, if there are several (default: val)")
    add(
        "--images",
        type=pathlib.Path,
        metavar="FOLDER",
        help="folder of a JSON file's images (default: its own)",
    )
    add(
        "--format",
        default="",
        metavar="NAME",
        help="format of a folder's boxes, such as voc (default: the one that fits)",
    )
    add("--weights", metavar="NAME|PATH|hf://OWNER/NAME", help="weights of a variant")
    add(
        "--classes",
        metavar="NAME|FILE",
        help="class names for a model that stores none: imagenet, cifar10, or a file with one name "
        "a line, in the order of the outputs",
    )
    add(
        "--size",
        type=arguments.zero_or_more,
        metavar="PIXELS",
        help="side of a classifier's crop, or shorter side that a segmenter's images are scaled to "
        "(default: as it was trained)",
    )
    add(
        "--ignored",
        type=arguments.zero_or_more,
        nargs="*",
        default=[255],
        metavar="ID",
        help="for a segmenter: label ids that do not count (default: 255)",
    )
    add(
        "--reduce-zero",
        action="store_true",
        help="for a segmenter: id 0 stands for no class, as in ADE20K",
    )
    add(
        "--threshold",
        type=arguments.fraction,
        default=0.5,
        metavar="SCORE",
        help="smallest score of a box that the confusion matrix counts (default: %(default)s)",
    )
    add("--batch-size", type=arguments.positive, metavar="N", help="images in a batch")
    add(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("evaluation"),
        metavar="FOLDER",
        help="folder for the report and its pictures (default: %(default)s)",
    )
    add("--json", action="store_true", help="print the report as JSON")


def run(options: argparse.Namespace) -> int:
    from keras_pvt.classification.decoding import read_classes
    from keras_pvt.evaluation import evaluate

    report = evaluate(
        options.model,
        options.data,
        options.out,
        split=options.split,
        images=options.images,
        format=options.format,
        weights=options.weights,
        classes=None if options.classes is None else read_classes(options.classes),
        size=options.size,
        ignored=options.ignored,
        reduce_zero=options.reduce_zero,
        threshold=options.threshold,
        batch_size=options.batch_size,
    )
    if options.json:
        print(json.dumps(report.as_json()))
    else:
        _show(report)
    for what in report.left_out:
        print(f"error: {what}; left out", file=sys.stderr)
    print(f"report: {options.out}/", file=sys.stderr)
    return int(bool(report.left_out))


def _show(report) -> None:
    print(f"{report.model} on {report.data}: {report.images} images")
    width = max(map(len, report.numbers))
    for name, value in report.numbers.items():
        shown = "nothing to count" if math.isnan(value) else f"{value:.4f}"
        print(f"{name.replace('_', ' '):<{width}}  {shown}")
    for true, predicted, count in report.confused(SHOWN):
        print(f"{true} taken for {predicted}: {count:,}")
    for one in report.worst[:SHOWN]:
        print(f"{one.name}: {one.note}")
