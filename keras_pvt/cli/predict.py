"""`keras-pvt predict`: the most likely classes of image files."""

import argparse
import json

from keras_pvt.cli import arguments
from keras_pvt.cli.program import engine_log, start_keras
from keras_pvt.cli.results import choose_show, show_results

DESCRIPTION = "The most likely classes of images, with their probabilities."

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

On a terminal the result is a table; otherwise it is a line for each class: file, class and
probability, separated by tabs. --json writes one object a line for each file. A file that
cannot be read is reported and skipped, and the exit status is 1.

"""
    + arguments.ENGINES_EPILOG
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_image_options(parser, batch_size=32)
    parser.add_argument(
        "--top",
        type=arguments.positive,
        default=5,
        metavar="N",
        help="classes for each image (default: %(default)s)",
    )
    arguments.add_model_options(parser)
    arguments.add_engine_options(parser)
    parser.add_argument(
        "--classes",
        metavar="NAME|FILE",
        help="of a checkpoint that does not name them: imagenet, cifar10, or a file with a name a "
        "line, in the order of the outputs",
    )


def run(options: argparse.Namespace) -> int:
    from keras_pvt.classification.decoding import best_classes, read_classes
    from keras_pvt.engines.named import classifier
    from keras_pvt.utils.image_files import image_files

    files = image_files(options.images)
    classes = None if options.classes is None else read_classes(options.classes)
    source = options.model or options.variant
    wish = arguments.wish(options, len(files))
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
    predictions = predictor.predict(files, min(options.batch_size, len(files)))
    show = choose_show(options, _show_table, _show_lines, _show_json)

    def show_best(prediction):
        show(prediction.path, best_classes(prediction.scores, predictor.classes, options.top))

    with engine_log():
        return show_results(predictions, len(files), show_best)


def _show_json(path, best):
    classes = [{"id": id_, "name": name, "probability": value} for id_, name, value in best]
    print(json.dumps({"image": str(path), "predictions": classes}))


def _show_lines(path, best):
    for _, name, value in best:
        print(path, name, f"{value:.4f}", sep="\t")


def _show_table(console, path, best):
    from rich.table import Table

    console.print(path, style="bold", highlight=False, soft_wrap=True)
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=24)
    for _, name, value in best:
        table.add_row(name.replace("_", " "), f"{value:6.1%}", f"[blue]{'█' * round(30 * value)}")
    console.print(table)
