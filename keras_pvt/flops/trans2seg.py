"""Trans2Seg, whose published GFLOPs another counter made."""

import math
from typing import NamedTuple

from keras_pvt.flops.backbones import backbone
from keras_pvt.flops.cost import Cost, Part, batch_norm, conv, dense, norm, relu, total
from keras_pvt.variants import PVTConfig

# The released head "medium".
WIDTH, DEPTH, HEADS, RATIO = 256, 4, 8, 3
HEAD_WIDTH = 64
# Of the position table: 32x32 cells and the class token.
POSITIONS = 32**2 + 1


class Trans2SegGflops(NamedTuple):
    """GFLOPs of one model by three counts.

    None of them is `Cost.gflops`, which has the attention of both and ReLU, but no norms.

    Args:
        table: as the paper's table 7 counts: convolutions, dense layers and batch norms.
        with_reduction: and attention of the PVT, whose keys are reduced.
        everything: and attention of the head, layer norms and ReLU.
    """

    table: float
    with_reduction: float
    everything: float


def trans2seg(
    config: PVTConfig,
    height: int,
    width: int,
    classes: int = 150,
    skip_level: str | None = "P2",
) -> list[Part]:
    """Trans2Seg on a PVT, for one image, every class computed by itself.

    Computing once what the classes share gives the same for less.

    Args:
        config: row of the variant table.
        height: of the image in pixels.
        width: of the image in pixels.
        classes: of a pixel.
        skip_level: level of the pyramid that joins in the head, and on which it predicts; None
            for the coarsest level and a head that is a convolution shorter.
    Returns:
        A part a stage, the tokens with encoder, (rows, columns, channels), the decoder,
        (classes, heads, rows, columns) of its last attention, and the logits, (rows, columns,
        classes).
    Raises:
        ValueError: an image smaller than `config.min_size` a side, or a level that there is
            not.
    Source:
        arXiv 2101.08461; xieenze/Trans2Seg, whose sizes of the grid and of the class table
        are those of the image and `classes` here. The paper says 31.6 GFLOPs for PVT-Small at
        512x512 and 150 classes, which no `skip_level` gives.
    """
    if skip_level is not None and skip_level not in config.levels:
        raise ValueError(
            f"`skip_level` must be one of {', '.join(config.levels)} or None; got {skip_level!r}."
        )
    stages = backbone(config, height, width, class_row=True)
    rows, columns, channels = stages[-1].output
    cells = rows * columns
    embedding = dense(cells, channels, WIDTH) + Cost(parameters=(1 + POSITIONS) * WIDTH)
    encoder = _encoder_block(cells + 1) * DEPTH + norm(cells + 1, WIDTH)
    decoder = _decoder_block(cells, classes) * DEPTH + Cost(parameters=classes * WIDTH)
    if skip_level is None:
        out, skip = [rows, columns], Cost()
    else:
        *out, skip_channels = stages[config.levels.index(skip_level)].output
        skip = _skip(math.prod(out), skip_channels, classes)
    logits = conv(classes * math.prod(out), HEAD_WIDTH, 1, 1)
    head = _separable(classes * cells, WIDTH + HEADS) + _separable(classes * cells, HEAD_WIDTH)
    return [
        *stages,
        Part("encoder", (rows, columns, WIDTH), embedding + encoder),
        Part("decoder", (classes, HEADS, rows, columns), decoder),
        Part("head", (*out, classes), head + skip + logits),
    ]


def trans2seg_gflops(parts: list[Part]) -> Trans2SegGflops:
    """GFLOPs of Trans2Seg by three ways of counting.

    Args:
        parts: what `trans2seg` returned.
    Returns:
        GFLOPs by each way.
    """
    cost = total(parts)
    table = cost.layers + cost.batch_norms
    everything = table + cost.attention + cost.norms + cost.elementwise
    reduction = total(parts[:4]).attention
    return Trans2SegGflops(table / 1e9, (table + reduction) / 1e9, everything / 1e9)


def counts(parts: list[Part]) -> str:
    """`trans2seg_gflops` as a line of text."""
    gflops = trans2seg_gflops(parts)
    return (
        f"GFLOPs as table 7 of the paper counts: {gflops.table:.2f}; with the backbone's "
        f"attention: {gflops.with_reduction:.2f}; everything: {gflops.everything:.2f}"
    )


def _encoder_block(tokens: int) -> Cost:
    attention = Cost(attention=2 * tokens**2 * WIDTH)
    projections = dense(tokens, WIDTH, 3 * WIDTH, bias=False) + dense(tokens, WIDTH, WIDTH)
    return attention + projections + _feed_forward(tokens, WIDTH) + norm(tokens, WIDTH) * 2


def _decoder_block(cells: int, classes: int) -> Cost:
    """Classes ask, cells answer; classes, cells and the weights between them go on."""
    attention = Cost(attention=2 * classes * cells * WIDTH)
    projections = dense(classes, WIDTH, WIDTH, bias=False) + dense(classes, WIDTH, WIDTH)
    projections += dense(cells, WIDTH, 2 * WIDTH, bias=False)
    # The weights are pre-softmax, and cells are their channels.
    maps = _feed_forward(classes * HEADS, cells) + norm(classes * HEADS, cells)
    queries = _feed_forward(classes, WIDTH) + norm(classes, WIDTH) * 2
    features = _feed_forward(cells, WIDTH) + norm(cells, WIDTH) * 2
    return attention + projections + maps + queries + features


def _feed_forward(rows: int, channels: int) -> Cost:
    hidden = RATIO * channels
    return dense(rows, channels, hidden) + dense(rows, hidden, channels)


def _skip(cells: int, channels: int, classes: int) -> Cost:
    """The finer level, once for all classes, and the convolution after the sum with it."""
    joins = conv(cells, channels, HEAD_WIDTH, 1, bias=False)
    joins += batch_norm(cells, HEAD_WIDTH) + relu(cells, HEAD_WIDTH)
    return joins + _separable(classes * cells, HEAD_WIDTH)


def _separable(cells: int, channels: int) -> Cost:
    """A depthwise 3x3 and a pointwise convolution, each with batch norm and ReLU."""
    depthwise = conv(cells, 1, channels, 3, bias=False)
    pointwise = conv(cells, channels, HEAD_WIDTH, 1, bias=False)
    after = [batch_norm(cells, n) + relu(cells, n) for n in (channels, HEAD_WIDTH)]
    return depthwise + pointwise + sum(after, Cost())
