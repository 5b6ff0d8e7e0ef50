"""`keras-pvt segment`: the class of each pixel of image files, in colour."""

import argparse
import itertools
import json
import pathlib

from keras_pvt.cli import arguments, media
from keras_pvt.cli.program import engine_log
from keras_pvt.cli.results import choose_show, columns, entry, heading, pictures_of, show_results

DESCRIPTION = "Find the class of each pixel with a trained segmenter, and draw the classes."

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
  keras-pvt segment drive.mp4 --model model.keras --out drawn.mp4  # [video]
  keras-pvt segment aerial.tif --model model.keras --mode slide --window 512 --stride 341

The model is a file that `keras-pvt train` saved, or a checkpoint. If it stores no class names, give
--classes. Each image is drawn in the colours of its classes, above a legend, as FOLDER/NAME.png (or
NAME-2.png if that is taken). A class named after a colour is drawn in that colour; a class named
background is not filled. On a terminal the result is a table. Otherwise it is a line for each class
in an image: file, class and share of the pixels, separated by tabs. --json writes one object for
each file, one a line. Large images are cut into tiles. The last line, on stderr, says where the
pictures are. A file that cannot be read is reported and skipped, and the exit status is 1.

"""
    + media.EPILOG
    + arguments.ENGINES_EPILOG
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_image_options(parser)
    media.add_arguments(parser)
    arguments.add_trained_model(parser)
    add = parser.add_argument
    add(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("segments"),
        metavar="FOLDER|CLIP.mp4",
        help="folder for the drawn images and videos, or, for one video, a file (default: "
        "%(default)s)",
    )
    add(
        "--alpha",
        type=arguments.fraction,
        default=0.6,
        metavar="A",
        help="opacity of the colours: 0 shows only the image, 1 hides it (default: %(default)s)",
    )
    add(
        "--labels",
        action="store_true",
        help="also write FOLDER/labels/NAME.png, a gray image with the number of each pixel's "
        "class, from 0; 16 bits for more than 255 classes",
    )
    arguments.add_predictor_options(parser)
    arguments.add_engine_options(parser)


def run(options: argparse.Namespace) -> int:
    from PIL import Image

    from keras_pvt.engines.tasks import segment_by
    from keras_pvt.segmentation.drawing import draw_frame, draw_labels, shares
    from keras_pvt.segmentation.inference import Predictor
    from keras_pvt.segmentation.trained import TrainedSegmenter
    from keras_pvt.utils.drawing import write_png
    from keras_pvt.utils.image_files import read_in_batches
    from keras_pvt.utils.images import load_image

    given = media.Media(options)
    if options.labels and given.videos:
        raise ValueError("--labels are of images; a video's would not be exact.")
    drawings = media.Drawings(given, options.out)
    numbers = pictures_of(given.files, options.out / "labels") if options.labels else {}
    wish = arguments.wish(options, given.count)
    file = wish.file(options.model)
    segmenter = TrainedSegmenter.load(options.model, arguments.given_classes(options))
    predictor = Predictor(segmenter.model, **arguments.predictor_options(options, segmenter.size))
    segment_by(predictor, wish, file)
    for picture in numbers.values():
        picture.parent.mkdir(parents=True, exist_ok=True)
    show = choose_show(options, _show_table, _show_lines, _show_json)

    def draw_and_show(file):
        labels = predictor.labels(file.image)
        draw = draw_labels if file.frame is None else draw_frame
        drawings.write(file, draw(file.image, labels, segmenter.classes, options.alpha))
        if numbers:
            write_png(Image.fromarray(labels), numbers[file.path])
        found = {
            segmenter.classes[n]: share for n, share in shares(labels, segmenter.classes).items()
        }
        show(file, found)

    results = itertools.chain.from_iterable(read_in_batches(given, load_image, 1))
    with engine_log(), drawings:
        status = show_results(results, given.count, draw_and_show)
    drawings.say(**({"labels": options.out / "labels"} if numbers else {}))
    return status


def _show_json(file, found):
    rounded = {name: round(share, 6) for name, share in found.items()}
    print(json.dumps(entry(file) | {"shares": rounded}))


def _show_lines(file, found):
    for name, share in found.items():
        print(*columns(file), name, f"{share:.4f}", sep="\t")


def _show_table(console, file, found):
    from rich.table import Table

    heading(console, file)
    table = Table("class", "share of pixels")
    table.columns[1].justify = "right"
    for name, share in found.items():
        table.add_row(name, f"{share:.1%}")
    console.print(table)
