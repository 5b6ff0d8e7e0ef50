"""The key map of a model, whatever it is."""

import keras

from keras_pvt.conversion.key_map import Entry, as_stored, key_map
from keras_pvt.conversion.segmenter_map import MAPS
from keras_pvt.models.pvt import config_of


def system_of(model: keras.Model) -> str | None:
    """Name of the system that a model is, whose checkpoint has more than a backbone; else None."""
    return getattr(model, "system", None)


def model_map(model: keras.Model, layout: str) -> list[Entry]:
    """Every weight of a model, in the order of its official state dict.

    Args:
        model: built by keras_pvt.
        layout: see `key_map`. A segmentation model has the official one and Keras's.
    Raises:
        ValueError: a model that keras_pvt did not build, or a layout that it does not have.
    """
    config, system = config_of(model), system_of(model)
    if system is None:
        return key_map(config, layout)
    if layout not in ("official", "keras"):
        raise ValueError(f"model {model.name!r} has no {layout} layout, only the official one.")
    entries = MAPS[system](config, model)
    return as_stored(entries) if layout == "keras" else entries
