"""Weights from and to files of other libraries; see `load_checkpoint` and `to_torch`."""

from keras_pvt.conversion.build import model_from_checkpoint
from keras_pvt.conversion.convert import differences, load_checkpoint, to_torch
from keras_pvt.conversion.description import Checkpoint, Description, describe
from keras_pvt.conversion.fit import Report
from keras_pvt.conversion.readers import CheckpointError, read_checkpoint
from keras_pvt.conversion.recognise import recognised
from keras_pvt.conversion.writers import cast, save_checkpoint

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Description",
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
