"""What layers cost, and how costs add up."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a part of a model costs for one image; costs add up.

    Args:
        parameters: numbers to learn.
        layer_parameters: of these, the ones of convolutions, dense layers and batch norms,
            which is all that some counters see.
        layers: multiply-adds of convolutions and dense layers.
        attention: multiply-adds of queries by keys and of weights by values.
        elementwise: operations of ReLU and of upsampling layers, one an element.
        norms: operations of layer norms, two an element; not part of `gflops`.
        batch_norms: operations of batch norms, two an element; not part of `gflops`.
    """

    parameters: int = 0
    layer_parameters: int = 0
    layers: int = 0
    attention: int = 0
    elementwise: int = 0
    norms: int = 0
    batch_norms: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Cost(*(a + b for a, b in pairs))

    def __mul__(self, times: int) -> "Cost":
        return Cost(*(a * times for a in dataclasses.astuple(self)))

    @property
    def multiply_adds(self) -> int:
        """Of convolutions with their bias, dense layers without, and both products of attention."""
        return self.layers + self.attention

    @property
    def gflops(self) -> float:
        """Billions of operations, as the paper's tables have them: a multiply-add is one.

        To the multiply-adds come ReLU and upsampling where they are layers; no norm, softmax,
        GELU or resize.

        Source: mmcv's counter and the attention term added to it in whai362/PVT, which count
            attention over patches only, without the class token. Newer versions of mmcv count
            layer norms too.
        """
        return (self.multiply_adds + self.elementwise) / 1e9

    @property
    def gflops_with_norms(self) -> float:
        """The same with layer norms, as newer versions of mmcv count.

        Batch norms stay out: they do not know the synchronised ones of the official models.
        """
        return self.gflops + self.norms / 1e9


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


def dense(rows: int, channels: int, width: int, bias: bool = True) -> Cost:
    """A dense layer for `rows` vectors."""
    kernel = channels * width
    learnt = kernel + bias * width
    return Cost(learnt, learnt, layers=rows * kernel)


def conv(cells: int, channels: int, width: int, side: int, bias: bool = True) -> Cost:
    """A `side` x `side` convolution, for `cells` cells that come out.

    A depthwise one reads one channel for each that it gives.
    """
    learnt = side * side * channels * width + bias * width
    return Cost(learnt, learnt, layers=cells * learnt)


def transposed_conv(cells: int, channels: int, width: int, side: int) -> Cost:
    """A transposed convolution with bias, as wide as its stride, for `cells` that go in."""
    kernel = side * side * channels * width
    learnt = kernel + width
    return Cost(learnt, learnt, layers=cells * (kernel + side * side * width))


def norm(rows: int, channels: int) -> Cost:
    """A layer norm of `rows` vectors."""
    return Cost(parameters=2 * channels, norms=2 * rows * channels)


def batch_norm(cells: int, channels: int) -> Cost:
    """A batch norm of `cells` cells; running statistics are not learnt."""
    return Cost(2 * channels, 2 * channels, batch_norms=2 * cells * channels)


def relu(cells: int, channels: int) -> Cost:
    """A ReLU layer on `cells` cells."""
    return Cost(elementwise=cells * channels)
