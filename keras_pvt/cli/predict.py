"""`keras-pvt predict`: the most likely classes of image files."""

import argparse
import functools
import json
import pathlib
import sys

from keras_pvt.cli import arguments

EPILOG = """\
examples:
  keras-pvt predict photo.jpg
  keras-pvt predict photos/ --variant pvt_small --top 3 --batch-size 64
  keras-pvt predict photos/ --json > predictions.jsonl
  keras-pvt predict scan.png --weights finetuned.safetensors --size 384

On a terminal the result is a table; otherwise it is a line for each class: file, class and
probability, separated by tabs. --json writes one object a line for each file. A file that
cannot be read is reported and skipped, and the exit status is 1.
"""


def add_parser(subparsers) -> None:
    parser = subparsers.add_parser(
        "predict",
        help="classify images",
        description="The most likely classes of images, with their probabilities.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "images", nargs="+", type=pathlib.Path, metavar="IMAGE|FOLDER", help="files and folders"
    )
    parser.add_argument("--json", action="store_true", help="write JSON, one object a line")
    parser.add_argument(
        "--top",
        type=arguments.positive,
        default=5,
        metavar="N",
        help="classes for each image (default: %(default)s)",
    )
    parser.add_argument(
        "--batch-size",
        type=arguments.positive,
        default=32,
        metavar="N",
        help="images that the model gets at once (default: %(default)s)",
    )
    arguments.add_model_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from keras_pvt.decoding import decode_predictions
    from keras_pvt.prediction import FileClassifier, image_files

    files = image_files(options.images)
    predictor = FileClassifier.load(options.variant, options.weights, options.size)
    predictions = predictor.predict(files, min(options.batch_size, len(files)))
    console = Console()
    if options.json:
        show = _show_json
    elif console.is_terminal:
        show = functools.partial(_show_table, console)
    else:
        show = _show_lines
    failures = 0
    for prediction in _tracked(predictions, len(files)):
        if prediction.scores is None:
            failures += 1
            print(f"error: {prediction.error}; skipped", file=sys.stderr)
            continue
        show(prediction.path, decode_predictions(prediction.scores[None], options.top)[0])
    if failures:
        print(f"error: {failures} of {len(files)} images could not be read", file=sys.stderr)
    return int(failures > 0)


def _tracked(predictions, count):
    """The same predictions, with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(
        console=console,
        transient=True,
        disable=not console.is_terminal or count == 1,
        # What goes to a file or pipe must not be drawn above the bar instead.
        redirect_stdout=sys.stdout.isatty(),
    ) as progress:
        yield from progress.track(predictions, total=count, description="images")


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
