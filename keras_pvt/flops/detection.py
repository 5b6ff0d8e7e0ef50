"""RetinaNet, Mask R-CNN and DETR, as in mmdetection."""

import math

from keras_pvt.flops.backbones import backbone
from keras_pvt.flops.cost import Cost, Part, conv, dense, norm, relu, transposed_conv
from keras_pvt.flops.feature_pyramid import WIDTH, feature_pyramid
from keras_pvt.variants import PVTConfig

# Cells a side of what RoIAlign cuts out.
BOX_SIDE, MASK_SIDE = 7, 14
BOX_WIDTH = 1024


def retinanet(config: PVTConfig, height: int, width: int, classes: int = 80) -> list[Part]:
    """RetinaNet on a PVT, for one image; the paper's is 800x1280, or 640x960.

    Args:
        config: row of the variant table.
        height: of the image in pixels.
        width: of the image in pixels.
        classes: of a box.
    Returns:
        A part a stage, a level of the neck, and two of the head, which all levels share;
        their outputs are (anchors, classes) and (anchors, 4).
    Raises:
        ValueError: an image smaller than `config.min_size` a side.
    Source:
        arXiv 1708.02002; the configurations under detection/ of whai362/PVT. Its figures
        are without layer norms.
    """
    stages = backbone(config, height, width, class_row=True)
    neck = feature_pyramid(stages[1:], config.levels[1:])
    source = stages[-1].output
    coarsest = int(config.levels[-1].removeprefix("P"))
    for name in (f"P{coarsest + 1}", f"P{coarsest + 2}"):
        rows, columns = (-(-side // 2) for side in source[:2])
        cost = conv(rows * columns, source[2], WIDTH, 3)
        source = (rows, columns, WIDTH)
        neck.append(Part(f"neck {name}", source, cost))
    cells = _cells(neck)
    tower = (conv(cells, WIDTH, WIDTH, 3) + relu(cells, WIDTH)) * 4
    heads = [
        Part(name, (9 * cells, numbers), tower + conv(cells, WIDTH, 9 * numbers, 3))
        for name, numbers in (("class head", classes), ("box head", 4))
    ]
    return [*stages, *neck, *heads]


def mask_rcnn(
    config: PVTConfig,
    height: int,
    width: int,
    classes: int = 80,
    proposals: int = 1000,
    masks: int = 100,
) -> list[Part]:
    """Mask R-CNN on a PVT, for one image; the paper's is 800x1280.

    Args:
        config: row of the variant table.
        height: of the image in pixels.
        width: of the image in pixels.
        classes: of a box.
        proposals: that the box head gets.
        masks: regions that the mask head gets.
    Returns:
        A part a stage and a level of the neck, and the region proposal network, (proposals,
        4), the box head, (proposals, classes and background), and the mask head, (masks, 28,
        28, classes).
    Raises:
        ValueError: an image smaller than `config.min_size` a side.
    Source:
        arXiv 1703.06870; the configurations under detection/ of whai362/PVT. Its figures
        are without layer norms.
    """
    stages = backbone(config, height, width, class_row=True)
    neck = feature_pyramid(stages, config.levels)
    rows, columns, _ = neck[-1].output
    cells = _cells(neck) + -(-rows // 2) * -(-columns // 2)  # a last level, every other cell
    # The ReLU is no layer there, so that the counter does not see it.
    rpn = conv(cells, WIDTH, WIDTH, 3) + conv(cells, WIDTH, 3, 1) + conv(cells, WIDTH, 12, 1)
    heads = [
        Part("proposals", (proposals, 4), rpn),
        Part("box head", (proposals, classes + 1), _box_head(proposals, classes)),
        Part(
            "mask head",
            (masks, 2 * MASK_SIDE, 2 * MASK_SIDE, classes),
            _mask_head(masks * MASK_SIDE**2, classes),
        ),
    ]
    return [*stages, *neck, *heads]


def _cells(levels: list[Part]) -> int:
    return sum(math.prod(level.output[:2]) for level in levels)


def _box_head(rows: int, classes: int) -> Cost:
    shared = dense(rows, BOX_SIDE**2 * WIDTH, BOX_WIDTH) + dense(rows, BOX_WIDTH, BOX_WIDTH)
    ends = dense(rows, BOX_WIDTH, classes + 1) + dense(rows, BOX_WIDTH, 4 * classes)
    return shared + relu(2 * rows, BOX_WIDTH) + ends


def _mask_head(cells: int, classes: int) -> Cost:
    tower = (conv(cells, WIDTH, WIDTH, 3) + relu(cells, WIDTH)) * 4
    doubled = transposed_conv(cells, WIDTH, WIDTH, 2) + relu(4 * cells, WIDTH)
    return tower + doubled + conv(4 * cells, WIDTH, classes, 1)


def detr(config: PVTConfig, height: int, width: int, classes: int = 80) -> list[Part]:
    """DETR on a PVT, for one image.

    Args:
        config: row of the variant table.
        height: of the image in pixels.
        width: of the image in pixels.
        classes: of a box; the paper's 91 are COCO's own ids.
    Returns:
        A part a stage, the encoder, (rows, columns, channels), the decoder, (queries,
        channels), and two of the head, (queries, classes and none) and (queries, 4).
    Raises:
        ValueError: an image smaller than `config.min_size` a side.
    Source:
        arXiv 2005.12872. The paper of PVT gives no GFLOPs of it. The heads are counted
        once, for the last layer of the decoder, as they are in use; in training each layer has
        its own predictions.
    """
    stages = backbone(config, height, width, class_row=True)
    rows, columns, channels = stages[-1].output
    cells = rows * columns
    queries, inside, depth = 100, 2048, 6

    def attention(asking: int, asked: int) -> Cost:
        kernels = dense(asking, WIDTH, WIDTH) * 2 + dense(asked, WIDTH, WIDTH) * 2
        return kernels + Cost(attention=2 * asking * asked * WIDTH) + norm(asking, WIDTH)

    def feed_forward(vectors: int) -> Cost:
        ends = dense(vectors, WIDTH, inside) + dense(vectors, inside, WIDTH)
        return ends + relu(vectors, inside) + norm(vectors, WIDTH)

    encoder = (attention(cells, cells) + feed_forward(cells)) * depth
    layer = attention(queries, queries) + attention(queries, cells) + feed_forward(queries)
    decoder = layer * depth + norm(queries, WIDTH) + Cost(parameters=queries * WIDTH)
    hidden = dense(queries, WIDTH, WIDTH) + relu(queries, WIDTH)
    return [
        *stages,
        Part("encoder", (rows, columns, WIDTH), conv(cells, channels, WIDTH, 1) + encoder),
        Part("decoder", (queries, WIDTH), decoder),
        Part("class head", (queries, classes + 1), dense(queries, WIDTH, classes + 1)),
        Part("box head", (queries, 4), hidden * 2 + dense(queries, WIDTH, 4)),
    ]
