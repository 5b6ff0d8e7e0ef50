"""Parameters and GFLOPs by arithmetic on the variant table; neither Keras nor weights needed.

GFLOPs follow the PVT paper, whose "FLOPs" are multiply-adds: convolutions with their bias,
dense layers without, and the two products of attention; no norm, softmax, GELU or resize.

Source: mmcv's counter and the attention term added to it in whai362/PVT, which give the
    paper's tables. They count attention over patches only, without the class token. Newer
    versions of mmcv count norms too, which are kept apart here.
"""

import dataclasses
import math

from keras_pvt.variants import PVTConfig


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a part of a model costs for one image; costs add up.

    Args:
        parameters: numbers to learn.
        layers: multiply-adds of convolutions and dense layers.
        attention: multiply-adds of queries by keys and of weights by values.
        norms: operations of norms, two an element; not part of `gflops`.
    """

    parameters: int = 0
    layers: int = 0
    attention: int = 0
    norms: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Cost(*(a + b for a, b in pairs))

    def __mul__(self, times: int) -> "Cost":
        return Cost(*(a * times for a in dataclasses.astuple(self)))

    @property
    def gflops(self) -> float:
        """Billions of multiply-adds, as the paper's tables have them."""
        return (self.layers + self.attention) / 1e9


@dataclasses.dataclass(frozen=True)
class Part:
    """A row of the account: a stage, a neck, a head.

    Args:
        name: what it is.
        output: shape that it gives for one image, such as (height, width, channels).
        cost: of this part alone.
    """

    name: str
    output: tuple[int, ...]
    cost: Cost


def total(parts: list[Part]) -> Cost:
    """The cost of all parts together."""
    return sum((part.cost for part in parts), Cost())


def dense(rows: int, channels: int, width: int) -> Cost:
    """A dense layer with bias, for `rows` vectors."""
    return Cost(parameters=channels * width + width, layers=rows * channels * width)


def conv(cells: int, channels: int, width: int, side: int) -> Cost:
    """A `side` x `side` convolution with bias, for `cells` cells that come out."""
    kernel = side * side * channels * width + width
    return Cost(parameters=kernel, layers=cells * kernel)


def norm(rows: int, channels: int) -> Cost:
    """A layer norm of `rows` vectors."""
    return Cost(parameters=2 * channels, norms=2 * rows * channels)


def backbone(config: PVTConfig, height: int, width: int, channels: int = 3) -> list[Part]:
    """The four stages of `PVTBackbone`, for one image.

    Args:
        config: row of the variant table.
        height: of the image in pixels.
        width: of the image in pixels.
        channels: of the image.
    Returns:
        A part a stage; outputs are (height, width, channels) of the maps.
    Raises:
        ValueError: an image smaller than `config.min_size` a side.
    """
    return _stages(config, height, width, channels, class_token=False)


def classifier(
    config: PVTConfig, height: int, width: int, channels: int = 3, classes: int | None = None
) -> list[Part]:
    """The four stages and the head of `classifier`, for one image.

    The last block and norm count every token, as the paper does, though ours computes only
    the class token's.

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
    classes = config.classes if classes is None else classes
    dim = config.embed_dims[-1]
    stages = _stages(config, height, width, channels, class_token=True)
    tokens = math.prod(stages[-1].output[:2]) + 1
    return [*stages, Part("head", (classes,), norm(tokens, dim) + dense(1, dim, classes))]


def _stages(config, height, width, channels, class_token):
    if min(height, width) < config.min_size:
        raise ValueError(
            f"an image of {height}x{width} pixels is too small: a side needs "
            f"{config.min_size} or more."
        )
    parts = []
    for n, (dim, patch) in enumerate(zip(config.embed_dims, config.patch_sizes, strict=True)):
        height, width = height // patch, width // patch
        cells, extra = height * width, int(class_token and n == 3)
        positions = Cost(parameters=(config.grids[n] ** 2 + 2 * extra) * dim)
        block = _block(
            height, width, extra, dim, ratio=config.mlp_ratios[n], reduction=config.sr_ratios[n]
        )
        embedding = conv(cells, channels, dim, patch) + norm(cells, dim) + positions
        cost = embedding + block * config.depths[n]
        parts.append(Part(f"stage {n + 1}", (height, width, dim), cost))
        channels = dim
    return parts


def _block(height, width, extra, dim, ratio, reduction):
    """An encoder block on a map, with so many `extra` tokens beside it."""
    tokens = height * width + extra
    reduced = (height // reduction) * (width // reduction)
    cost = Cost(attention=2 * height * width * reduced * dim)
    keys = tokens
    if reduction > 1:
        keys = reduced
        cost += conv(reduced, dim, dim, reduction) + norm(reduced, dim)
    projections = dense(tokens, dim, dim) * 2 + dense(keys, dim, 2 * dim)
    feed_forward = dense(tokens, dim, ratio * dim) + dense(tokens, ratio * dim, dim)
    return cost + projections + feed_forward + norm(tokens, dim) * 2
