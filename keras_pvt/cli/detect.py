"""`keras-pvt detect`: objects in image files, drawn and listed."""

import argparse
import json
import pathlib

from keras_pvt.cli import arguments
from keras_pvt.cli.results import choose_show, pictures_of, show_results

EPILOG = """\
examples:
  keras-pvt detect photo.jpg --model runs/detector.keras
  keras-pvt detect photos/ --model detector.keras --out drawn --threshold 0.3
  keras-pvt detect photos/ --model detector.keras --json > detections.jsonl

The model is what examples/train_detector.py saves. Each image is drawn with its boxes as
FOLDER/NAME.png (NAME-2.png where that is taken). On a terminal the result is a table; otherwise
it is a line for each box: file, class, score, and left, top, right, bottom in pixels, separated
by tabs. --json writes one object a line for each file. A file that cannot be read is reported
and skipped, and the exit status is 1.
"""


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "detect",
        help="find objects in images",
        description="Find objects in images by a trained detector, and draw their boxes.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    arguments.add_image_options(parser, batch_size=8)
    parser.add_argument(
        "--model", type=pathlib.Path, required=True, metavar="PATH", help="a detector.keras"
    )
    parser.add_argument(
        "--threshold",
        type=arguments.fraction,
        default=0.5,
        metavar="SCORE",
        help="smallest score of a box, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("detections"),
        metavar="FOLDER",
        help="where the drawn images go (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from keras_pvt.detection.detector import Detector
    from keras_pvt.detection.drawing import captions, draw_boxes
    from keras_pvt.image_files import image_files
    from keras_pvt.pictures import write_png

    files = image_files(options.images)
    pictures = pictures_of(files, options.out)
    detector = Detector.load(options.model)
    options.out.mkdir(parents=True, exist_ok=True)
    show = choose_show(options, _show_json, _show_table, _show_lines)

    def draw_and_show(found):
        found = found.above(options.threshold)
        names = [detector.classes[label] for label in found.labels]
        texts = captions(detector, found)
        picture = draw_boxes(found.image, found.boxes, found.labels, texts)
        write_png(picture, pictures[found.path])
        scores, boxes = found.scores.tolist(), found.boxes.tolist()
        show(found.path, list(zip(names, scores, boxes, strict=True)))

    results = detector.detect(files, min(options.batch_size, len(files)), keep_images=True)
    return show_results(results, len(files), draw_and_show)


def _show_json(path, objects):
    detections = [
        {"class": name, "score": score, "box": [round(value, 2) for value in box]}
        for name, score, box in objects
    ]
    print(json.dumps({"image": str(path), "format": "xyxy", "detections": detections}))


def _show_lines(path, objects):
    for name, score, box in objects:
        print(path, name, f"{score:.4f}", *(f"{value:.1f}" for value in box), sep="\t")


def _show_table(console, path, objects):
    from rich.table import Table

    console.print(path, style="bold", highlight=False, soft_wrap=True)
    table = Table("class", "score", "left", "top", "right", "bottom")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, score, box in objects:
        table.add_row(name, f"{score:.1%}", *(f"{value:.0f}" for value in box))
    console.print(table if objects else "nothing found")
