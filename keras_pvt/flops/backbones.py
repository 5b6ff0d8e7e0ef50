"""The backbone and the classifier, of any family."""

from keras_pvt import families
from keras_pvt.flops.cost import Part
from keras_pvt.variants import PVTConfig


def backbone(
    config: PVTConfig, height: int, width: int, channels: int = 3, class_row: bool = False
) -> list[Part]:
    """The four stages of `keras_pvt.PVTBackbone`, for one image.

    Args:
        config: row of the variant table.
        height: of the image in pixels.
        width: of the image in pixels.
        channels: of the image.
        class_row: count the class token's row of the last position table too, which the
            official detectors and segmenters keep, and the paper counts, though nothing
            reads it.
    Returns:
        A part a stage; outputs are (height, width, channels) of the maps.
    Raises:
        ValueError: an image smaller than `config.min_size` a side.
    """
    _check_size(config, height, width)
    cost = families.named(config.family).load("backbone_cost")
    return cost(config, height, width, channels, class_row)


def classifier(
    config: PVTConfig, height: int, width: int, channels: int = 3, classes: int | None = None
) -> list[Part]:
    """The four stages and the head of `classifier`, for one image.

    Args:
        config: row of the variant table.
        height: of the image in pixels.
        width: of the image in pixels.
        channels: of the image.
        classes: width of the head; by default the row's.
    Returns:
        A part a stage, and the head.
    Raises:
        ValueError: an image smaller than `config.min_size` a side.
    """
    _check_size(config, height, width)
    cost = families.named(config.family).load("classifier_cost")
    return cost(config, height, width, channels, config.classes if classes is None else classes)


def _check_size(config: PVTConfig, height: int, width: int) -> None:
    if min(height, width) < config.min_size:
        raise ValueError(
            f"an image of {height}x{width} pixels is too small: a side needs "
            f"{config.min_size} or more."
        )
