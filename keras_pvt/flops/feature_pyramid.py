"""The feature pyramid network that detectors and Semantic FPN share."""

from keras_pvt.flops.cost import Part, conv

WIDTH = 256


def feature_pyramid(stages: list[Part], levels: tuple[str, ...]) -> list[Part]:
    """A level for each stage: a 1x1 convolution, and a 3x3 one after the sum with the level above.

    Args:
        stages: whose outputs are (height, width, channels).
        levels: their names.
    Returns:
        A part a level, of `WIDTH` channels.
    Source:
        FPN, arXiv 1612.03144. The sum is no layer, and neither is the resize before it.
    """
    parts = []
    for name, stage in zip(levels, stages, strict=True):
        height, width, channels = stage.output
        cells = height * width
        cost = conv(cells, channels, WIDTH, 1) + conv(cells, WIDTH, WIDTH, 3)
        parts.append(Part(f"neck {name}", (height, width, WIDTH), cost))
    return parts
