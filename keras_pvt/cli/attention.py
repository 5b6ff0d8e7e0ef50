"""`keras-pvt attention`: a picture of what a model attends to."""

import argparse
import pathlib
import sys

from keras_pvt import families
from keras_pvt.cli import arguments

DESCRIPTION = "Draw what the class token, a pixel, or all of them attend to, head by head."

EPILOG = """\
examples:
  keras-pvt attention photo.jpg
  keras-pvt attention photo.jpg --pixel 112,80 --out attention.png
  keras-pvt attention photo.jpg --variant pvt_small --size 448
  keras-pvt attention cat.jpg --model runs/animals/model.keras

Without --pixel the query is the class token, in every block of stage 4, the only stage that
has one; PVTv2 has none, and all cells of stage 4 are averaged. With --pixel it is that pixel of
the crop that the model sees, in the last block of each stage. Weights are drawn on the grid of the
keys, which spatial reduction makes coarse; a model that was trained on so small images that stage 4
has less than 4x4 cells, as pvt_nano was, is drawn at 224 pixels, unless --size says otherwise.
"""

# Fewer cells a side of stage 4's map show nothing, and this is the size that shows more.
LEAST_CELLS, SIZE = 4, 224


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
    from keras_pvt.classification.attention_drawing import draw_attention

    name = options.model or options.variant
    predictor, note = _predictor(name, options)
    image = predictor.crop(options.image)
    if options.pixel is not None and max(options.pixel) >= predictor.size:
        raise ValueError(
            f"pixel {options.pixel} is outside the crop of {predictor.size}x{predictor.size} "
            "pixels that the model sees; --size makes it larger."
        )
    config = families.config_of(predictor.model)
    rows = _rows(predictor, config, image, options.pixel)
    title = f"{name}: {_query(config, options.pixel).format(options.image.name)}"
    draw_attention(image, rows, options.out, title, options.pixel)
    if note:
        print(f"note: {note}", file=sys.stderr)
    print(options.out)
    return 0


def _predictor(name, options):
    """The model, at a size at which its coarsest map shows something; and what to say of that."""
    from keras_pvt.classification.attention_grid import AttentionGrid
    from keras_pvt.classification.predictor import FileClassifier

    predictor = FileClassifier.named(name, options.weights, options.size)
    sides = (predictor.size, predictor.size)
    grid = AttentionGrid.of(families.config_of(predictor.model), 4, *sides, class_token=True)
    cells = min(grid.queries)
    if options.size is not None or cells >= LEAST_CELLS:
        return predictor, ""
    own = f"{predictor.size} pixels, as {name} was trained, stage 4 has {cells}x{cells} cells"
    if name.endswith(".keras"):  # which takes one size
        return predictor, f"at {own}"
    note = f"drawn at {SIZE} pixels; at {own}: --size {predictor.size} draws those"
    return FileClassifier.named(name, options.weights, SIZE), note


def _query(config, pixel) -> str:
    """What is drawn, for a title, with a place for the name of the image."""
    if pixel is not None:
        return "what pixel {}, {} of {{}} attends to".format(*pixel)
    if families.named(config.family).token is not None:
        return "what the class token of {} attends to"
    return "what the cells of {} attend to, on average"


def _rows(predictor, config, image, pixel):
    """The query in the blocks of stage 4, or a pixel in the last block of each stage."""
    from keras_pvt.classification.attention_drawing import AttentionRow
    from keras_pvt.classification.attention_grid import AttentionGrid, attention_maps
    from keras_pvt.models.graph import block_name

    if pixel is None:
        blocks = [(4, block) for block in range(config.depths[3])]
    else:
        blocks = [(stage, depth - 1) for stage, depth in enumerate(config.depths, start=1)]
    height, width, _ = image.shape
    seen = predictor.model_input(image[None])
    maps = attention_maps(predictor.model, seen, [block_name(*block) for block in blocks])
    rows = []
    for (stage, block), weights in zip(blocks, maps.values(), strict=True):
        grid = AttentionGrid.of(config, stage, height, width, class_token=True)
        if pixel is not None:
            weights = weights[0, :, grid.query(*pixel)]
        else:
            weights = weights[0, :, 0] if grid.class_token else weights[0].mean(axis=1)
        title = f"stage {stage}, block {block + 1} of {config.depths[stage - 1]}"
        rows.append(AttentionRow(title, grid.as_map(weights), grid))
    return rows
