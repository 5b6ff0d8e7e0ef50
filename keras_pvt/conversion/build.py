"""The model that has just the weights of a state dict."""

from typing import Any

import keras

from keras_pvt.conversion.detector_build import build_detector
from keras_pvt.conversion.key_map import key_map
from keras_pvt.conversion.recognise import Found, config_of_state, keras_array, layout_of, trunk
from keras_pvt.conversion.segmenter_build import build_segmenter
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.classifier import classifier

DETECTORS = ("retinanet", "detr")


def build_for(
    found: Found,
    any_size: bool = False,
    size: tuple[int, int] | None = None,
    **options: Any,
) -> keras.Model:
    """A classifier, with head or ending in the class token, a backbone, segmenter or detector.

    Args:
        found: a state dict, and what it is; with a variant.
        any_size: leave height and width of a classifier open, which otherwise are the
            resolution of the state dict.
        size: see `build_segmenter`.
        options: for `classifier`, where it is one with a head.
    Raises:
        CheckpointError: see `build_segmenter` and `build_detector`.
    """
    assert found.variant is not None
    state, _ = trunk(found.state)
    config = config_of_state(state, found.variant)
    entries = key_map(config, layout_of(state))
    kernel = keras_array(entries, state, "stage1_patch_embedding/proj/kernel")
    channels = 3 if kernel is None else kernel.shape[2]
    if found.system is not None:
        if found.system in DETECTORS:
            return build_detector(found.state, found.system, config, channels)
        return build_segmenter(found.state, found.system, config, channels, size)
    open_shape = (None, None, channels)
    name = found.variant
    if keras_array(entries, state, "head/kernel") is not None:
        side = None if any_size else config.image_size
        return classifier(config, input_shape=(side, side, channels), name=name, **options)
    if keras_array(entries, state, "class_token/token") is not None:
        return classifier(
            config, include_top=False, pooling="token", input_shape=open_shape, name=name
        )
    return PVTBackbone(config, input_shape=open_shape, name=name)
