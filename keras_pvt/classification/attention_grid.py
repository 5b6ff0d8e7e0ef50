"""Attention maps: which parts of an image the tokens of a model attend to.

With spatial reduction, a query attends to a coarse grid of keys: in PVT-Tiny at 224 pixels the
56x56 queries of stage 1 see 7x7 keys, each of 32x32 pixels.
"""

import dataclasses
from collections.abc import Iterable

import keras
import numpy as np

from keras_pvt import families
from keras_pvt.layers import EncoderBlock
from keras_pvt.variants import POOL_SIZE, PVTConfig


def attention_maps(
    model: keras.Model, images, layers: Iterable[str] | None = None
) -> dict[str, np.ndarray]:
    """Attention weights of a model's encoder blocks, for every query.

    Args:
        model: a classifier or backbone of keras_pvt.
        images: `(B, H, W, channels)`, as the model takes them.
        layers: names of encoder blocks; by default all. A block of stage 1 has `H * W / 16`
            queries: for large images, name a few blocks only.
    Returns:
        For each layer name float32 `(B, heads, queries, keys)`, which sum to 1 over the keys.
        Queries are the cells of the stage's map, row by row, and keys those of its reduced map;
        `AttentionGrid` gives their positions. In stage 4 of a PVT classifier the class token comes
        before both.
    Raises:
        ValueError: a name that no encoder block has; a model without encoder blocks.
    """
    blocks = {layer.name: layer for layer in model.layers if isinstance(layer, EncoderBlock)}
    names = list(blocks) if layers is None else list(layers)
    unknown = [name for name in names if name not in blocks]
    if unknown or not blocks:
        raise ValueError(
            f"model {model.name!r} has no encoder block {', '.join(unknown)}; it has "
            f"{', '.join(blocks) or 'none: pass the PVT itself, not a model around it'}."
        )
    inputs = keras.Model(model.input, {name: blocks[name].input for name in names})
    return {name: _scores(blocks[name], x) for name, x in inputs.predict_on_batch(images).items()}


def _scores(block: EncoderBlock, x: np.ndarray) -> np.ndarray:
    # The attention layer is asked, not the block: the last block of a classifier would give
    # the class token's row alone.
    _, scores = block.attention(block.norm1(x), return_attention_scores=True)
    return keras.ops.convert_to_numpy(scores).astype("float32")


@dataclasses.dataclass(frozen=True)
class AttentionGrid:
    """Positions of the queries and keys of a stage in an image.

    Args:
        stride: pixels a side of a query's cell.
        queries: (rows, columns) of the stage's map.
        keys: (rows, columns) of the reduced map.
        key_size: pixels of a key, (height, width); where attention is linear, parts overlap by
            less than a cell, and these are from one to the next.
        class_token: whether a class token comes before queries and keys.
    """

    stride: int
    queries: tuple[int, int]
    keys: tuple[int, int]
    key_size: tuple[float, float]
    class_token: bool

    @classmethod
    def of(
        cls, config: PVTConfig, stage: int, height: int, width: int, class_token: bool
    ) -> "AttentionGrid":
        """The grid of a stage for images of a size.

        Args:
            config: row of the variant table.
            stage: 1 to 4.
            height: of the image in pixels.
            width: of the image in pixels.
            class_token: whether the model is a classifier; stage 4 of a PVT has the token then.
        Returns:
            The grid.
        """
        family, queries = families.named(config.family), (height, width)
        for step in config.steps[:stage]:
            queries = family.cells(queries[0], step), family.cells(queries[1], step)
        stride, ratio = config.strides[stage - 1], config.sr_ratios[stage - 1]
        keys = queries[0] // ratio, queries[1] // ratio
        key_size: tuple[float, float] = (stride * ratio, stride * ratio)
        if config.linear:
            keys = POOL_SIZE, POOL_SIZE
            key_size = height / POOL_SIZE, width / POOL_SIZE
        has_token = class_token and stage == 4 and family.token is not None
        return cls(stride, queries, keys, key_size, has_token)

    def query(self, x: int, y: int) -> int:
        """The query whose cell has a pixel. Pixels beyond the last whole cell belong to it.

        Args:
            x: column of the pixel.
            y: row of the pixel.
        Returns:
            Index of the query.
        """
        rows, columns = self.queries
        row, column = min(y // self.stride, rows - 1), min(x // self.stride, columns - 1)
        return int(self.class_token) + row * columns + column

    def as_map(self, weights: np.ndarray) -> np.ndarray:
        """Attention weights as maps, without that of the class token.

        Args:
            weights: `(..., keys)`.
        Returns:
            `(..., rows, columns)`.
        """
        cells = weights[..., int(self.class_token) :]
        return cells.reshape(*weights.shape[:-1], *self.keys)
