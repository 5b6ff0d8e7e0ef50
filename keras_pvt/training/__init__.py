"""Parts of training, each for use in anyone's `model.fit`."""

from keras_pvt.training.batches import ShuffledBatches
from keras_pvt.training.callbacks import StopWhenDiverged
from keras_pvt.training.checkpoints import Checkpoints, cut_log
from keras_pvt.training.log import Log, draw_curves, read_history
from keras_pvt.training.optimizer import make_optimizer
from keras_pvt.training.options import check_positive
from keras_pvt.training.recipe_files import load as load_recipe
from keras_pvt.training.schedule import OfficialCosine, WarmUpCosine, WarmUpSteps
from keras_pvt.training.trainer import train

__all__ = [
    "Checkpoints",
    "Log",
    "OfficialCosine",
    "ShuffledBatches",
    "StopWhenDiverged",
    "WarmUpCosine",
    "WarmUpSteps",
    "check_positive",
    "cut_log",
    "draw_curves",
    "load_recipe",
    "make_optimizer",
    "read_history",
    "train",
]
