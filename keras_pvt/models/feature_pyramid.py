"""The feature pyramid network (FPN), arXiv 1612.03144, over the maps of a backbone."""

import keras

from keras_pvt.layers import ResizeLike
from keras_pvt.models.convolution import conv, conv_layer


def coarsest_levels(backbone: keras.Model, count: int) -> list[str]:
    """Names of a backbone's coarsest maps, such as "P5", the finest of them first.

    Args:
        backbone: `PVTBackbone`, or another model that has `pyramid_outputs`, as those of KerasHub.
        count: how many maps.
    Raises:
        ValueError: no `pyramid_outputs`, or too few.
    """
    outputs = getattr(backbone, "pyramid_outputs", None)
    if not isinstance(backbone, keras.Model) or not outputs:
        raise ValueError(
            "`backbone` must be a keras.Model with `pyramid_outputs`, such as "
            f"keras_pvt.PVTBackbone; got {type(backbone).__name__} without."
        )
    names = sorted(outputs, key=level_number)[-count:]
    if len(names) < count:
        raise ValueError(f"`backbone` must give {count} maps; it gives {', '.join(names)}.")
    return names


def level_number(level: str) -> int:
    """The n of a level "Pn", whose cells have sides of 2**n pixels."""
    return int(level.removeprefix("P"))


def finest_stride(backbone: keras.Model, count: int) -> int:
    """Side in pixels of a cell of the finest of the `count` coarsest maps."""
    return 2 ** level_number(coarsest_levels(backbone, count)[0])


def pyramid_maps(backbone: keras.Model, levels: int = 4) -> list:
    """The maps of `coarsest_levels`."""
    return [backbone.pyramid_outputs[name] for name in coarsest_levels(backbone, levels)]


def feature_pyramid(maps: list, width: int, dtype, initializer=None) -> list:
    """Maps of one width, to each of which the coarser ones are added.

    Args:
        maps: `(B, H, W, C)`, the finest first.
        width: channels out.
        dtype: policy of the layers, "neck_lateral0" and so on, and "neck_output0".
        initializer: see `conv`.
    Returns:
        As many maps `(B, H, W, width)`, of the same sizes.
    Source:
        mmdetection 2.13 mmdet/models/necks/fpn.py; the nearest cell upwards, no norm.
    """
    maps = [
        conv(x, width, 1, dtype, f"neck_lateral{n}", initializer=initializer)
        for n, x in enumerate(maps)
    ]
    for n in range(len(maps) - 2, -1, -1):
        resize = ResizeLike(interpolation="nearest", dtype=dtype, name=f"neck_upsample{n}")
        maps[n] = keras.layers.Add(dtype=dtype, name=f"neck_add{n}")(
            [maps[n], resize(maps[n + 1], maps[n])]
        )
    return [
        conv(x, width, 3, dtype, f"neck_output{n}", initializer=initializer)
        for n, x in enumerate(maps)
    ]


def strided_conv(x, width: int, dtype, name: str, initializer=None):
    """A 3x3 convolution of stride 2, which makes a map one level coarser.

    Args:
        x: map `(B, H, W, C)`.
        width: channels out.
        dtype: policy.
        name: of the layer.
        initializer: see `conv`.
    Returns:
        Map `(B, ceil(H / 2), ceil(W / 2), width)`.
    """
    # "same" would pad even sides at one end only, torch pads both.
    pad = keras.layers.ZeroPadding2D(
        1, data_format="channels_last", dtype=dtype, name=f"{name}_padding"
    )
    layer = conv_layer(width, 3, dtype, name, strides=2, padding="valid", initializer=initializer)
    return layer(pad(x))
