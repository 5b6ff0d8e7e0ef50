"""Semantic FPN."""

from keras_pvt.flops.backbones import backbone
from keras_pvt.flops.cost import Cost, Part, batch_norm, conv, relu
from keras_pvt.flops.feature_pyramid import feature_pyramid
from keras_pvt.variants import PVTConfig

HEAD_WIDTH = 128


def semantic_fpn(config: PVTConfig, height: int, width: int, classes: int = 150) -> list[Part]:
    """Semantic FPN on a PVT, for one image.

    Args:
        config: row of the variant table.
        height: of the image in pixels.
        width: of the image in pixels.
        classes: of a pixel.
    Returns:
        A part a stage, a level of the neck and a branch of the head, and the logits on the
        finest level, (height, width, classes).
    Raises:
        ValueError: an image smaller than `config.min_size` a side.
    Source:
        arXiv 1901.02446; the configurations under segmentation/ of whai362/PVT.
    """
    stages = backbone(config, height, width, class_row=True)
    neck = feature_pyramid(stages, config.levels)
    branches = [_branch(f"head {config.levels[n]}", level, n) for n, level in enumerate(neck)]
    rows, columns, _ = neck[0].output
    logits = conv(rows * columns, HEAD_WIDTH, classes, 1)
    return [*stages, *neck, *branches, Part("logits", (rows, columns, classes), logits)]


def _branch(name: str, level: Part, doublings: int) -> Part:
    """A level brought to the finest one's size: each doubling follows a convolution."""
    height, width, channels = level.output
    cost = Cost()
    for _ in range(max(1, doublings)):
        cells = height * width
        cost += conv(cells, channels, HEAD_WIDTH, 3, bias=False)
        cost += batch_norm(cells, HEAD_WIDTH) + relu(cells, HEAD_WIDTH)
        if doublings:
            height, width = 2 * height, 2 * width
            cost += Cost(elementwise=height * width * HEAD_WIDTH)
        channels = HEAD_WIDTH
    return Part(name, (height, width, HEAD_WIDTH), cost)
