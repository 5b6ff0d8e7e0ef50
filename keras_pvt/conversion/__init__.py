"""Weights from and to files of other libraries; see `load_checkpoint` and `to_torch`.

What is read needs no Keras, which takes seconds to import: so each name is imported when it is
asked for, and `keras-pvt info FILE` asks for none that needs it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keras_pvt.conversion.build import model_from_checkpoint
    from keras_pvt.conversion.convert import differences, load_checkpoint, to_torch
    from keras_pvt.conversion.description import Checkpoint, Description, Origin, describe
    from keras_pvt.conversion.fit import Report
    from keras_pvt.conversion.readers import CheckpointError, read_checkpoint
    from keras_pvt.conversion.recognise import recognised
    from keras_pvt.conversion.writers import cast, save_checkpoint

_HOMES = {
    "build": ("model_from_checkpoint",),
    "convert": ("differences", "load_checkpoint", "to_torch"),
    "description": ("Checkpoint", "Description", "Origin", "describe"),
    "fit": ("Report",),
    "readers": ("CheckpointError", "read_checkpoint"),
    "recognise": ("recognised",),
    "writers": ("cast", "save_checkpoint"),
}

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Description",
    "Origin",
    "Report",
    "cast",
    "describe",
    "differences",
    "load_checkpoint",
    "model_from_checkpoint",
    "read_checkpoint",
    "recognised",
    "save_checkpoint",
    "to_torch",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
