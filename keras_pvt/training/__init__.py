"""Parts of training, each for use in anyone's `model.fit`."""

from keras_pvt.training.batches import ShuffledBatches
from keras_pvt.training.checkpoints import epochs_done
from keras_pvt.training.log import Log, draw_curves, read_history
from keras_pvt.training.optimizer import make_optimizer
from keras_pvt.training.options import check_positive, save_settings
from keras_pvt.training.schedule import WarmUpCosine

__all__ = [
    "Log",
    "ShuffledBatches",
    "WarmUpCosine",
    "check_positive",
    "draw_curves",
    "epochs_done",
    "make_optimizer",
    "read_history",
    "save_settings",
]
