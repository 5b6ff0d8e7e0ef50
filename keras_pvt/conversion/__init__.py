"""Weights from and to files of other libraries; see `load_checkpoint` and `to_torch`."""

from keras_pvt.conversion.build import model_from_checkpoint
from keras_pvt.conversion.checkpoint_files import cast, read_checkpoint, save_checkpoint
from keras_pvt.conversion.convert import Report, differences, load_checkpoint, to_torch
from keras_pvt.conversion.errors import CheckpointError

__all__ = [
    "CheckpointError",
    "Report",
    "cast",
    "differences",
    "load_checkpoint",
    "model_from_checkpoint",
    "read_checkpoint",
    "save_checkpoint",
    "to_torch",
]
