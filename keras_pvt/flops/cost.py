"""What layers cost, and how costs add up."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a part of a model costs for one image. Costs can be added, and multiplied by a number.

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
        Source:
            mmcv's counter and the attention term added to it in whai362/PVT, which count
            attention over patches only, without the class token. Newer versions of mmcv count
            layer norms too.
        """
        return (self.multiply_adds + self.elementwise) / 1e9

    @property
    def gflops_with_norms(self) -> float:
        """`gflops` with layer norms, as newer versions of mmcv count.

        Batch norms stay out: they do not know the synchronised ones of the official models.
        """
        return self.gflops + self.norms / 1e9


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of a model, such as a stage, a neck or a head.

    Args:
        name: of the part.
        output: shape of its output for one image, such as (height, width, channels).
        cost: cost of this part alone.
    """

    name: str
    output: tuple[int, ...]
    cost: Cost


def total(parts: list[Part]) -> Cost:
    """The cost of all parts together.

    Args:
        parts: of a model.
    Returns:
        The sum of their costs.
    """
    return sum((part.cost for part in parts), Cost())


def dense(rows: int, channels: int, width: int, bias: bool = True) -> Cost:
    """The cost of a dense layer.

    Args:
        rows: vectors that it is applied to.
        channels: channels in.
        width: channels out.
        bias: whether it has a bias.
    Returns:
        The cost for one image.
    """
    kernel = channels * width
    learnt = kernel + bias * width
    return Cost(learnt, learnt, layers=rows * kernel)


def conv(cells: int, channels: int, width: int, side: int, bias: bool = True) -> Cost:
    """The cost of a convolution.

    Args:
        cells: cells of the output.
        channels: channels in; 1 for a depthwise convolution.
        width: channels out.
        side: side of the kernel in cells.
        bias: whether it has a bias.
    Returns:
        The cost for one image.
    """
    learnt = side * side * channels * width + bias * width
    return Cost(learnt, learnt, layers=cells * learnt)


def transposed_conv(cells: int, channels: int, width: int, side: int) -> Cost:
    """The cost of a transposed convolution with bias, whose stride is its kernel.

    Args:
        cells: cells of the input.
        channels: channels in.
        width: channels out.
        side: side of the kernel in cells.
    Returns:
        The cost for one image.
    """
    kernel = side * side * channels * width
    learnt = kernel + width
    return Cost(learnt, learnt, layers=cells * (kernel + side * side * width))


def norm(rows: int, channels: int) -> Cost:
    """The cost of a layer norm.

    Args:
        rows: vectors that it is applied to.
        channels: of each vector.
    Returns:
        The cost for one image.
    """
    return Cost(parameters=2 * channels, norms=2 * rows * channels)


def batch_norm(cells: int, channels: int) -> Cost:
    """The cost of a batch norm; its running statistics are not parameters.

    Args:
        cells: of the map.
        channels: of the map.
    Returns:
        The cost for one image.
    """
    return Cost(2 * channels, 2 * channels, batch_norms=2 * cells * channels)


def relu(cells: int, channels: int) -> Cost:
    """The cost of a ReLU layer.

    Args:
        cells: of the map.
        channels: of the map.
    Returns:
        The cost for one image.
    """
    return Cost(elementwise=cells * channels)
