"""The models that the paper sets beside PVT where images grow."""

from keras_pvt.flops.cost import Cost, Part, batch_norm, conv, dense, norm, relu


def resnet50(height: int, width: int, classes: int = 1000) -> list[Part]:
    """ResNet-50 as a classifier, for one image.

    Args:
        height: of the image in pixels.
        width: of the image in pixels.
        classes: width of the head.
    Returns:
        The stem, a part a stage, and the head.
    Source:
        arXiv 1512.03385; torchvision's, whose 3x3 convolutions have the strides.
    """
    height, width = _halved(height), _halved(width)
    stem = conv(height * width, 3, 64, 7, bias=False) + _norm_relu(height * width, 64)
    height, width, channels = _halved(height), _halved(width), 64  # the pooling
    parts = [Part("stem", (height, width, channels), stem)]
    for n, depth in enumerate((3, 4, 6, 3)):
        inner = 64 * 2**n
        cells = height * width
        if n:
            height, width = _halved(height), _halved(width)
        cost = _bottleneck(cells, height * width, channels, inner)
        cost += conv(height * width, channels, 4 * inner, 1, bias=False)  # the shortcut
        cost += batch_norm(height * width, 4 * inner)
        channels, cells = 4 * inner, height * width
        cost += _bottleneck(cells, cells, channels, inner) * (depth - 1)
        parts.append(Part(f"stage {n + 1}", (height, width, channels), cost))
    return [*parts, Part("head", (classes,), dense(1, channels, classes))]


def vit_small(height: int, width: int, patch: int = 16, classes: int = 1000) -> list[Part]:
    """ViT-Small as a classifier, for one image, made for 224x224.

    Attention is counted over patches only, as PVT's is.

    Args:
        height: of the image in pixels.
        width: of the image in pixels.
        patch: side of a patch in pixels.
        classes: width of the head.
    Returns:
        The embedding, the blocks and the head.
    Source:
        arXiv 2010.11929; timm 0.3.2, vit_small_patch16_224.
    """
    dim, depth, ratio = 768, 8, 3
    rows, columns = height // patch, width // patch
    cells, tokens = rows * columns, rows * columns + 1
    tables = Cost(parameters=((224 // patch) ** 2 + 2) * dim)
    attention = Cost(attention=2 * cells**2 * dim)
    projections = dense(tokens, dim, 3 * dim, bias=False) + dense(tokens, dim, dim)
    feed_forward = dense(tokens, dim, ratio * dim) + dense(tokens, ratio * dim, dim)
    block = attention + projections + feed_forward + norm(tokens, dim) * 2
    shape = (rows, columns, dim)
    return [
        Part("embedding", shape, conv(cells, 3, dim, patch) + tables),
        Part("blocks", shape, block * depth),
        Part("head", (classes,), norm(tokens, dim) + dense(1, dim, classes)),
    ]


def _halved(side: int) -> int:
    return -(-side // 2)


def _norm_relu(cells: int, channels: int) -> Cost:
    return batch_norm(cells, channels) + relu(cells, channels)


def _bottleneck(cells_in: int, cells: int, channels: int, inner: int) -> Cost:
    cost = conv(cells_in, channels, inner, 1, bias=False) + _norm_relu(cells_in, inner)
    cost += conv(cells, inner, inner, 3, bias=False) + _norm_relu(cells, inner)
    return cost + conv(cells, inner, 4 * inner, 1, bias=False) + _norm_relu(cells, 4 * inner)
