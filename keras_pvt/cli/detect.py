"""`keras-pvt detect`: objects in image files, drawn and listed."""

import argparse
import itertools
import json
import pathlib
import sys
from collections.abc import Sequence

from keras_pvt.cli import arguments, media
from keras_pvt.cli.program import engine_log
from keras_pvt.cli.results import choose_show, columns, heading, show_results

BATCH_SIZE = 8

DESCRIPTION = "Find objects in images by a trained detector, and draw their boxes."

EPILOG = (
    """\
examples:
  keras-pvt detect photo.jpg --model runs/boxes/model.keras
  keras-pvt detect photos/ --model model.keras --out drawn --threshold 0.3
  keras-pvt detect photos/ --model hf://OWNER/NAME              # of keras_pvt.hub.save
  keras-pvt detect photo.jpg --model boxes.safetensors
  keras-pvt detect photos/ --model model.keras --engine onnxruntime
  keras-pvt detect clip.mov --model model.keras --out drawn.mp4  # [video]
  keras-pvt detect --camera 0 --model model.keras --out seen.mp4
  keras-pvt detect val2017/ --model model.keras --threshold 0 --json \\
      --annotations instances_val2017.json > results.json

The model is a file that `keras-pvt train` saved, or a checkpoint that stores how the model was
built, such as a .safetensors file of `keras-pvt convert`. If it stores no class names, give
--classes. Each image is drawn with its boxes, and with masks if the model finds them, as
FOLDER/NAME.png (or NAME-2.png if that is taken). Captions that would hide objects are left out.
On a terminal the result is a table. Otherwise it is a line for each box: file, class, score, and
left, top, right, bottom in pixels, separated by tabs. stderr shows in how many images nothing
passes the threshold, and where the drawings are.

--json writes COCO's results instead, a list with an object for each box: image_id, file_name,
category_id, category, bbox (left, top, width, height), score, and segmentation (run lengths) where
there are masks. The ids are those of the --annotations file, for pycocotools. Each file is matched
to the image whose file_name agrees best with the end of the file's path; if several agree equally
well, it is an error. Without annotations, image_id is the path relative to the folder that contains
all images, and categories are counted from 1.

A file that cannot be read is reported and skipped, and the exit status is 1.

"""
    + media.EPILOG
    + arguments.ENGINES_EPILOG
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_image_options(parser, batch_size=BATCH_SIZE, json="write COCO's results")
    media.add_arguments(parser)
    arguments.add_trained_model(parser)
    parser.add_argument(
        "--threshold",
        type=arguments.fraction,
        default=0.5,
        metavar="SCORE",
        help="smallest score of a drawn or printed box, 0 to 1 (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("detections"),
        metavar="FOLDER|CLIP.mp4",
        help="folder for the drawn images and videos, or, for one video, a file (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--annotations",
        type=pathlib.Path,
        metavar="JSON",
        help="annotations of a COCO data set; --json uses their ids",
    )
    arguments.add_engine_options(parser)


def run(options: argparse.Namespace) -> int:
    from keras_pvt.detection.coco_results import CocoResults
    from keras_pvt.detection.detector import Detector
    from keras_pvt.detection.drawing import draw_detections
    from keras_pvt.engines.tasks import detector_by

    given = media.Media(options)
    if options.annotations is not None and given.videos:
        raise ValueError("--annotations are of images; a video is none of them.")
    drawings = media.Drawings(given, options.out)
    wish = arguments.wish(options, given.count)
    file = wish.file(options.model)
    detector = Detector.load(options.model, arguments.given_classes(options))
    detector = detector_by(detector, wish, file)
    results = CocoResults(detector.classes, given.files, options.annotations)
    for line in results.report.lines():
        print(f"{options.annotations}: {line}", file=sys.stderr)
    separators = itertools.chain(["["], itertools.repeat(",\n"))
    show = choose_show(options, _show_table, _show_lines)
    best: list[float] = []  # score in each image; below 0 where it has no box at all

    def draw_and_show(found):
        best.append(max(found.scores.tolist(), default=-1.0))
        found = found.above(options.threshold)
        drawings.write(found, draw_detections(detector, found))
        if options.json:
            for entry in results.entries(found):
                print(next(separators), json.dumps(entry), sep="", end="")
        else:
            names = [detector.classes[label] for label in found.labels]
            scores, boxes = found.scores.tolist(), found.boxes.tolist()
            show(found, list(zip(names, scores, boxes, strict=True)))

    batch_size = given.batch_size(options.batch_size, BATCH_SIZE)
    found = detector.detect(given, batch_size, keep_images=True)
    with engine_log(), drawings:
        status = show_results(found, given.count, draw_and_show)
    if options.json:
        print("[]" if next(separators) == "[" else "]")  # nothing found is a list too
    _say_missed(best, options.threshold)
    drawings.say()
    return status


def _say_missed(best: Sequence[float], threshold: float) -> None:
    """On stderr, in how many images no box passes the threshold, and how far it is."""
    below = [score for score in best if score < threshold]
    if not below:
        return
    highest = max(below)
    hint = f"the best score is {highest:.4f}: --threshold lowers it"
    if highest < 0:
        hint = "no box has any score"
    where = f"in {len(below)} of {len(best)} image{'s' if len(best) > 1 else ''}"
    print(f"nothing above {threshold:g} {where}; {hint}", file=sys.stderr)


def _show_lines(found, objects):
    for name, score, box in objects:
        print(*columns(found), name, f"{score:.4f}", *(f"{value:.1f}" for value in box), sep="\t")


def _show_table(console, found, objects):
    from rich.table import Table

    heading(console, found)
    table = Table("class", "score", "left", "top", "right", "bottom")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, score, box in objects:
        table.add_row(name, f"{score:.1%}", *(f"{value:.0f}" for value in box))
    console.print(table if objects else "nothing found")
