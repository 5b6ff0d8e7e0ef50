"""`keras-pvt attention`: a picture of what a model attends to."""

import argparse
import pathlib
import sys

from keras_pvt.cli import arguments

DESCRIPTION = """\
Draw which parts of an image the class token, one pixel, or all pixels attend to, for each head."""

EPILOG = """\
examples:
  keras-pvt attention photo.jpg
  keras-pvt attention photo.jpg --pixel 112,80 --out attention.png
  keras-pvt attention photo.jpg --variant pvt_small --size 448
  keras-pvt attention cat.jpg --model runs/animals/model.keras

Without --pixel the query is the class token, in every block of stage 4, the only stage that
has one. PVTv2 has no class token, so the average over all cells of stage 4 is drawn. With --pixel
the query is that pixel of the crop that the model gets, in the last block of each stage. Weights
are drawn on the grid of the keys, which spatial reduction makes coarse. Some models, such as
pvt_nano, were trained on such small images that stage 4 has less than 4x4 cells. They are drawn at
224 pixels unless --size is given.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", type=pathlib.Path, metavar="IMAGE", help="image file")
    parser.add_argument(
        "--pixel", type=arguments.pixel, metavar="X,Y", help="column and row in the crop, from 0"
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("attention.png"),
        metavar="PNG",
        help="picture to write (default: %(default)s)",
    )
    arguments.add_model_options(parser)


def run(options: argparse.Namespace) -> int:
    from keras_pvt.classification.attention_drawing import (
        attention_rows,
        attentive_classifier,
        draw_attention,
        query_title,
    )

    name = options.model or options.variant
    predictor, note = attentive_classifier(name, options.weights, options.size)
    image = predictor.crop(options.image)
    if options.pixel is not None and max(options.pixel) >= predictor.size:
        raise ValueError(
            f"pixel {options.pixel} is outside the crop of {predictor.size}x{predictor.size} "
            "pixels that the model sees; --size makes it larger."
        )
    rows = attention_rows(predictor, image, options.pixel)
    title = f"{name}: {query_title(predictor, options.image.name, options.pixel)}"
    draw_attention(image, rows, options.out, title, options.pixel)
    if note:
        print(f"note: {note}", file=sys.stderr)
    print(options.out)
    return 0
