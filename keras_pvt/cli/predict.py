"""`keras-pvt predict`: the most likely classes of image files."""

import argparse
import contextlib
import json
import pathlib

from keras_pvt.cli import arguments, media
from keras_pvt.cli.program import engine_log, start_keras
from keras_pvt.cli.results import CLIP, choose_show, columns, entry, heading, show_results

BATCH_SIZE = 32

DESCRIPTION = "Print the most likely classes of images or frames, with their probabilities."

EPILOG = (
    """\
examples:
  keras-pvt predict photo.jpg
  keras-pvt predict photos/ --variant pvt_small --top 3 --batch-size 64
  keras-pvt predict photos/ --json > predictions.jsonl
  keras-pvt predict cat.jpg --model runs/animals/model.keras
  keras-pvt predict scan.png --variant pvt_small --weights mine.safetensors --size 384
  keras-pvt predict photo.jpg --variant pvt_tiny --weights pvt_tiny.pth --classes imagenet
  keras-pvt predict photo.jpg --model hf://timm/pvt_v2_b2.in1k       # [hub]
  keras-pvt predict photos/ --variant pvt_small --engine litert      # [tflite]
  keras-pvt predict photos/ --precision int8 --representative some/  # the fastest on a CPU
  keras-pvt predict clip.mov --out named.mp4 --every 5               # [video]
  keras-pvt predict --camera 0 --top 1

On a terminal the result is a table. Otherwise it is a line for each class: file, class and
probability, separated by tabs. --json writes one object for each file, one a line. A file that
cannot be read is reported and skipped, and the exit status is 1.

"""
    + media.EPILOG
    + arguments.ENGINES_EPILOG
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_image_options(parser, batch_size=BATCH_SIZE)
    media.add_arguments(parser)
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        metavar="CLIP.mp4",
        help="for one video: write it with the name of the best class drawn on it",
    )
    parser.add_argument(
        "--top",
        type=arguments.positive,
        default=5,
        metavar="N",
        help="classes for each image (default: %(default)s)",
    )
    arguments.add_model_options(parser)
    arguments.add_engine_options(parser)
    arguments.add_classes(parser)


def run(options: argparse.Namespace) -> int:
    from keras_pvt.classification.decoding import best_classes, read_classes
    from keras_pvt.engines.named import classifier
    from keras_pvt.utils.drawing import titled

    given = media.Media(options)
    drawings = None
    if options.out is not None:
        if options.out.suffix.lower() != CLIP:
            raise ValueError(f"--out must be a file {CLIP}; got {options.out}.")
        drawings = media.Drawings(given, options.out)
    classes = None if options.classes is None else read_classes(options.classes)
    source = options.model or options.variant
    wish = arguments.wish(options, given.count)
    with engine_log():
        predictor = classifier(
            source, options.weights, options.size, classes, wish, start=start_keras
        )
    if not predictor.classes:
        raise ValueError(
            f"{options.weights or source} does not name its "
            f"{predictor.model.output_shape[-1]} classes: --classes names them (imagenet, cifar10, "
            "or a file with a name a line), or keras_pvt.save_model(model, path, classes=[...]) "
            "writes a file that does."
        )
    batch_size = given.batch_size(options.batch_size, BATCH_SIZE)
    predictions = predictor.predict(given, batch_size, keep_images=drawings is not None)
    show = choose_show(options, _show_table, _show_lines, _show_json)

    def show_best(prediction):
        best = best_classes(prediction.scores, predictor.classes, options.top)
        if drawings is not None:
            _, name, value = best[0]
            drawings.write(prediction, titled(prediction.image, f"{name} {value:.0%}"))
        show(prediction, best)

    with engine_log(), drawings or contextlib.nullcontext():
        status = show_results(predictions, given.count, show_best)
    if drawings is not None:
        drawings.say()
    return status


def _show_json(prediction, best):
    classes = [{"id": id_, "name": name, "probability": value} for id_, name, value in best]
    print(json.dumps(entry(prediction) | {"predictions": classes}))


def _show_lines(prediction, best):
    for _, name, value in best:
        print(*columns(prediction), name, f"{value:.4f}", sep="\t")


def _show_table(console, prediction, best):
    from rich.table import Table

    heading(console, prediction)
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=24)
    for _, name, value in best:
        table.add_row(name.replace("_", " "), f"{value:6.1%}", f"[blue]{'█' * round(30 * value)}")
    console.print(table)
