"""Attention maps: what the tokens of a model attend to.

A query looks at a coarse grid where spatial reduction is at work: in PVT-Tiny at 224 pixels
the 56x56 queries of stage 1 see 7x7 keys, each of 32x32 pixels.
"""

import dataclasses
from collections.abc import Iterable

import keras
import numpy as np

from keras_pvt import families
from keras_pvt.layers import EncoderBlock
from keras_pvt.variants import PVTConfig


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
        `AttentionGrid` tells where they lie. In a classifier's stage 4 the class token comes
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
    """Where the queries and keys of a stage lie in an image.

    Args:
        stride: pixels a side of a query's cell.
        queries: (rows, columns) of the stage's map.
        reduction: cells a side that make one key.
        class_token: whether a class token comes before queries and keys.
    """

    stride: int
    queries: tuple[int, int]
    reduction: int
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
            class_token: whether the model is a classifier; its stage 4 has the token.
        Returns:
            The grid.
        """
        cells = families.named(config.family).cells
        for patch in config.patch_sizes[:stage]:
            height, width = cells(height, patch), cells(width, patch)
        n = stage - 1
        return cls(
            config.strides[n], (height, width), config.sr_ratios[n], class_token and stage == 4
        )

    @property
    def keys(self) -> tuple[int, int]:
        """(rows, columns) of the reduced map."""
        rows, columns = self.queries
        return rows // self.reduction, columns // self.reduction

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
