"""`keras-pvt segment`: the class of each pixel of image files, in colour."""

import argparse
import itertools
import json
import pathlib

from keras_pvt.cli import arguments
from keras_pvt.cli.program import engine_log
from keras_pvt.cli.results import choose_show, pictures_of, say_where, show_results

DESCRIPTION = "Find the class of each pixel by a trained segmenter, and draw them."

EPILOG = (
    """\
examples:
  keras-pvt segment street.jpg --model runs/street/model.keras
  keras-pvt segment street.jpg --model hf://OWNER/NAME          # of keras_pvt.hub.save
  keras-pvt segment photos/ --model model.keras --out drawn --alpha 0.4
  keras-pvt segment street.jpg --model fpn_pvt_s_ade20k_40k.pth --classes ade20k.txt
  keras-pvt segment photos/ --model model.keras --engine openvino
  keras-pvt segment photos/ --model model.keras --labels --json > shares.jsonl
  keras-pvt segment street.jpg --model model.keras --scales 0.75 1 1.25 --flip
  keras-pvt segment aerial.tif --model model.keras --mode slide --window 512 --stride 341

The model is what `keras-pvt train` saves, or a checkpoint; --classes names the classes of one that
does not. Each image is drawn in the colours of its
classes, above a legend, as FOLDER/NAME.png (NAME-2.png where that is taken); a class that is named
after a colour has it, and one named background is not filled. On a terminal the
result is a table; otherwise it is a line for each class in an image: file, class and share of the
pixels, separated by tabs. --json writes one object a line for each file. Large images are cut into
tiles. The last line, on stderr, says where the pictures are. A file that cannot be read is reported
and skipped, and the exit status is 1.

"""
    + arguments.ENGINES_EPILOG
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_image_options(parser)
    arguments.add_trained_model(parser)
    add = parser.add_argument
    add(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("segments"),
        metavar="FOLDER",
        help="where the drawn images go (default: %(default)s)",
    )
    add(
        "--alpha",
        type=arguments.fraction,
        default=0.6,
        metavar="A",
        help="of the colours: 0 leaves the image, 1 hides it (default: %(default)s)",
    )
    add(
        "--labels",
        action="store_true",
        help="also write FOLDER/labels/NAME.png, gray: numbers of the classes, from 0; of more "
        "than 255 classes in 16 bits",
    )
    arguments.add_predictor_options(parser)
    arguments.add_engine_options(parser)


def run(options: argparse.Namespace) -> int:
    from PIL import Image

    from keras_pvt.engines.tasks import segment_by
    from keras_pvt.segmentation.drawing import draw_labels, shares
    from keras_pvt.segmentation.inference import Predictor
    from keras_pvt.segmentation.trained import TrainedSegmenter
    from keras_pvt.utils.drawing import write_png
    from keras_pvt.utils.image_files import image_files, read_in_batches
    from keras_pvt.utils.images import load_image

    files = image_files(options.images)
    pictures = pictures_of(files, options.out)
    numbers = pictures_of(files, options.out / "labels") if options.labels else {}
    wish = arguments.wish(options, len(files))
    file = wish.file(options.model)
    segmenter = TrainedSegmenter.load(options.model, arguments.given_classes(options))
    predictor = Predictor(segmenter.model, **arguments.predictor_options(options, segmenter.size))
    segment_by(predictor, wish, file)
    for picture in (*pictures.values(), *numbers.values()):
        picture.parent.mkdir(parents=True, exist_ok=True)
    show = choose_show(options, _show_table, _show_lines, _show_json)

    drawn = itertools.count()

    def draw_and_show(file):
        labels = predictor.labels(file.image)
        picture = draw_labels(file.image, labels, segmenter.classes, options.alpha)
        write_png(picture, pictures[file.path])
        next(drawn)
        if numbers:
            write_png(Image.fromarray(labels), numbers[file.path])
        found = {
            segmenter.classes[n]: share for n, share in shares(labels, segmenter.classes).items()
        }
        show(file.path, found)

    results = itertools.chain.from_iterable(read_in_batches(files, load_image, 1))
    with engine_log():
        status = show_results(results, len(files), draw_and_show)
    folders = {"drawn": options.out} | ({"labels": options.out / "labels"} if numbers else {})
    say_where(next(drawn), **folders)
    return status


def _show_json(path, found):
    rounded = {name: round(share, 6) for name, share in found.items()}
    print(json.dumps({"image": str(path), "shares": rounded}))


def _show_lines(path, found):
    for name, share in found.items():
        print(path, name, f"{share:.4f}", sep="\t")


def _show_table(console, path, found):
    from rich.table import Table

    console.print(path, style="bold", highlight=False, soft_wrap=True)
    table = Table("class", "share of pixels")
    table.columns[1].justify = "right"
    for name, share in found.items():
        table.add_row(name, f"{share:.1%}")
    console.print(table)
