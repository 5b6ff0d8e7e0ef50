"""Position embeddings: the grid of a stage, and the class token with its own position."""

import keras
from keras import ops

from keras_pvt.layers import base
from keras_pvt.layers.initial_values import Normal
from keras_pvt.ops import add_to_each, resize_grid


@base.register
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned grid of positions, resized to the grid that comes in.

    Args:
        grid_size: side of the table in cells, at the size that the weights were made for;
            an integer, or (height, width).
        align_corners: in the resize, the first and last cells' centres coincide, rather than
            the grids' edges.
    Call arguments:
        x: float map `(B, H, W, C)`, H and W static or known at run time only.
    Returns:
        Same shape and dtype as `x`.
    Raises:
        ValueError: `grid_size` below 1; a map that is not of rank 4.
    Source:
        PVT, arXiv 2102.12122, section 3.4; whai362/PVT classification/pvt.py,
        `_get_pos_embed`. Differs: resizes whenever the grids differ, from this stage's own
        grid; upstream compares with stage 1's token count, so it crashes at 448x448 and
        adds an un-resized table at 448x112.
    """

    def __init__(self, grid_size: int | tuple[int, int], align_corners: bool = False, **kwargs):
        super().__init__(**kwargs)
        height, width = (grid_size, grid_size) if isinstance(grid_size, int) else grid_size
        base.check_positive("PositionEmbedding", height=height, width=width)
        self.grid_size = (height, width)
        self.align_corners = align_corners

    def build(self, input_shape):
        base.check_map(self.name, input_shape)
        self.table = self.add_weight(
            shape=(1, *self.grid_size, input_shape[-1]),
            initializer=Normal(),
            autocast=False,  # resized in float32, also under mixed precision
            name="table",
        )
        self.built = True

    def call(self, x):
        # A float16 policy (not mixed) has a float16 table; float32 loses nothing.
        table = ops.convert_to_tensor(self.table)
        height, width = ops.shape(x)[1:3]
        # Only plain integers may be compared: a symbolic size has no truth value.
        static = isinstance(height, int) and isinstance(width, int)
        if not (static and (height, width) == self.grid_size):
            table = ops.cast(table, self._resize_dtype)
            table = resize_grid(table, height, width, self.align_corners)
        return add_to_each(x, ops.cast(table, x.dtype))

    @property
    def _resize_dtype(self):
        return "float64" if self.variable_dtype == "float64" else "float32"

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "grid_size": self.grid_size,
            "align_corners": self.align_corners,
        }


@base.register
class ClassToken(keras.layers.Layer):
    """Turns a map into tokens, with a learned class token (and its position) in front.

    Call arguments:
        x: float map `(B, H, W, C)`.
    Returns:
        Tokens `(B, 1 + H * W, C)`, row-major after the class token.
    Raises:
        ValueError: a map that is not of rank 4.
    Source:
        whai362/PVT classification/pvt.py, `forward_features`. Differs: the class token's
        row of upstream's `pos_embed4` is a weight of this layer, so a pyramid has none.
    """

    def build(self, input_shape):
        base.check_map(self.name, input_shape)
        self.token, self.position = (
            self.add_weight(
                shape=(1, 1, input_shape[-1]),
                initializer=Normal(),
                name=name,
            )
            for name in ("token", "position")
        )
        self.built = True

    def call(self, x):
        channels = x.shape[-1]
        first = ops.convert_to_tensor(self.token) + ops.convert_to_tensor(self.position)
        x = ops.reshape(x, (ops.shape(x)[0], -1, channels))  # (B, H * W, C)
        # Broadcasting against the map's own first row needs no batch size.
        first = ops.cast(first, x.dtype) + ops.zeros_like(x[:, :1])
        return ops.concatenate([first, x], axis=1)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        known = height is not None and width is not None
        return (batch, 1 + height * width if known else None, channels)

    def get_config(self):  # Keras writes none of its own where `dtype` is a policy object
        return super().get_config()


@base.register
class TakeClassToken(keras.layers.Layer):
    """Takes the class token out of tokens.

    Call arguments:
        x: float tokens `(B, 1 + N, C)`, the class token first.
    Returns:
        `(B, C)`, in the dtype of `x`.
    """

    def call(self, x):
        # A slice and a reshape, where an index would keep TFLite from delegating the graph.
        return ops.reshape(x[:, :1], (-1, x.shape[-1]))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])

    def get_config(self):  # for the same reason as in ClassToken
        return super().get_config()
