"""The key map of a model, whatever it is."""

import keras

from keras_pvt import systems
from keras_pvt.conversion.key_map import NAMES, Entry, as_stored, key_map
from keras_pvt.models.pvt import config_of


def system_of(model: keras.Model) -> str | None:
    """Name of the system that a model is, whose checkpoint has more than a backbone; else None."""
    return getattr(model, "system", None)


def layouts_of(model: keras.Model) -> tuple[str, ...]:
    """The layouts in which torch code has a model, the official one first."""
    system = system_of(model)
    return tuple(NAMES if system is None else systems.SYSTEMS[system].names)


def model_map(model: keras.Model, layout: str) -> list[Entry]:
    """Every weight of a model, in the order of its official state dict.

    Args:
        model: built by keras_pvt.
        layout: one of `layouts_of`, or "keras", see `key_map`.
    Raises:
        ValueError: a model that keras_pvt did not build, or a layout that it does not have.
    """
    config, system = config_of(model), system_of(model)
    if system is None:
        return key_map(config, layout)
    if layout not in (*layouts_of(model), "keras"):
        raise ValueError(
            f"model {model.name!r} has no {layout} layout, only {', '.join(layouts_of(model))}."
        )
    entries = systems.SYSTEMS[system].key_map(layout, config, model)
    return as_stored(entries) if layout == "keras" else entries
