"""The feature pyramid network (FPN), arXiv 1612.03144, over the maps of a backbone."""

import keras

from keras_pvt.layers import ResizeLike
from keras_pvt.models.convolution import conv


def pyramid_maps(backbone: keras.Model, levels: int = 4) -> list:
    """The coarsest maps of a backbone, the finest of them first.

    Args:
        backbone: `PVTBackbone`, or another model that has `pyramid_outputs`, as those of KerasHub.
        levels: how many maps.
    Raises:
        ValueError: no `pyramid_outputs`, or too few.
    """
    outputs = getattr(backbone, "pyramid_outputs", None)
    if not isinstance(backbone, keras.Model) or not outputs:
        raise ValueError(
            "`backbone` must be a keras.Model with `pyramid_outputs`, such as "
            f"keras_pvt.PVTBackbone; got {type(backbone).__name__} without."
        )
    names = sorted(outputs, key=lambda level: int(level[1:]))[-levels:]
    if len(names) < levels:
        raise ValueError(f"`backbone` must give {levels} maps; it gives {', '.join(names)}.")
    return [outputs[name] for name in names]


def feature_pyramid(maps: list, width: int, dtype) -> list:
    """Maps of one width, each with what the coarser ones know.

    Args:
        maps: `(B, H, W, C)`, the finest first.
        width: channels out.
        dtype: policy of the layers, "neck_lateral0" and so on, and "neck_output0".
    Returns:
        As many maps `(B, H, W, width)`, of the same sizes.
    Source:
        mmdetection 2.13 mmdet/models/necks/fpn.py; the nearest cell upwards, no norm.
    """
    maps = [conv(x, width, 1, dtype, f"neck_lateral{n}") for n, x in enumerate(maps)]
    for n in range(len(maps) - 2, -1, -1):
        resize = ResizeLike(interpolation="nearest", dtype=dtype, name=f"neck_upsample{n}")
        maps[n] = keras.layers.Add(dtype=dtype, name=f"neck_add{n}")(
            [maps[n], resize(maps[n + 1], maps[n])]
        )
    return [conv(x, width, 3, dtype, f"neck_output{n}") for n, x in enumerate(maps)]
