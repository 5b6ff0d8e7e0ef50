"""The model that has just the weights of a state dict."""

from typing import Any

import keras

from keras_pvt.conversion.key_map import key_map
from keras_pvt.conversion.recognise import State, config_of_state, keras_array, layout_of
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.classifier import classifier


def build_for(state: State, variant: str, any_size: bool = False, **options: Any) -> keras.Model:
    """A classifier with head, one that ends in the class token, or a backbone.

    Args:
        state: with the keys of its own layout, as `trunk` gives it.
        variant: name of a row of the variant table.
        any_size: leave height and width of a classifier open, which otherwise are the
            resolution of the state dict.
        options: for `classifier`, where it is one with a head.
    """
    config = config_of_state(state, variant)
    entries = key_map(config, layout_of(state))
    kernel = keras_array(entries, state, "stage1_patch_embedding/proj/kernel")
    channels = 3 if kernel is None else kernel.shape[2]
    open_shape = (None, None, channels)
    if keras_array(entries, state, "head/kernel") is not None:
        side = None if any_size else config.image_size
        return classifier(config, input_shape=(side, side, channels), name=variant, **options)
    if keras_array(entries, state, "class_token/token") is not None:
        return classifier(
            config, include_top=False, pooling="token", input_shape=open_shape, name=variant
        )
    return PVTBackbone(config, input_shape=open_shape, name=variant)
