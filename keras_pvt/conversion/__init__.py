"""Weights from and to files of other libraries; see `load_checkpoint` and `to_torch`.

What is read needs no Keras, which takes seconds to import: so each name is imported when it is
asked for, and `keras-pvt info FILE` asks for none that needs it.
"""

from typing import TYPE_CHECKING

from keras_pvt.utils.lazy import importer

if TYPE_CHECKING:
    from keras_pvt.conversion.build import model_from_checkpoint
    from keras_pvt.conversion.convert import differences, load_checkpoint, to_torch
    from keras_pvt.conversion.description import Checkpoint, Description, Origin, describe
    from keras_pvt.conversion.fit import Report
    from keras_pvt.conversion.readers import CheckpointError, read_checkpoint
    from keras_pvt.conversion.recognise import recognised
    from keras_pvt.conversion.writers import cast, save_checkpoint

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

__getattr__ = importer(
    __name__,
    {
        "build": ("model_from_checkpoint",),
        "convert": ("differences", "load_checkpoint", "to_torch"),
        "description": ("Checkpoint", "Description", "Origin", "describe"),
        "fit": ("Report",),
        "readers": ("CheckpointError", "read_checkpoint"),
        "recognise": ("recognised",),
        "writers": ("cast", "save_checkpoint"),
    },
)
