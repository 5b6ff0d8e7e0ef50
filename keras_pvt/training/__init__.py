"""Parts of training; each also works in your own `model.fit`.

`augmentation` changes images at random, `data` reads images and makes batches, `distribution`
spreads the training over devices. `train` runs a whole training from a recipe.
"""

from typing import TYPE_CHECKING

from keras_pvt.recipes.files import load as load_recipe
from keras_pvt.utils.lazy import importer

if TYPE_CHECKING:
    from keras_pvt.training import augmentation, data, distribution
    from keras_pvt.training.callbacks import Diverged, StopWhenDiverged
    from keras_pvt.training.checkpoints import Checkpoints
    from keras_pvt.training.distillation import with_teacher
    from keras_pvt.training.layerwise import LayerwiseAdamW
    from keras_pvt.training.log import Log, draw_curves, read_history
    from keras_pvt.training.optimizer import make_optimizer
    from keras_pvt.training.profiling import Profile, profile
    from keras_pvt.training.schedule import OfficialCosine, WarmUpCosine, WarmUpSteps
    from keras_pvt.training.trainer import train

__all__ = [
    "Checkpoints",
    "Diverged",
    "LayerwiseAdamW",
    "Log",
    "OfficialCosine",
    "Profile",
    "StopWhenDiverged",
    "WarmUpCosine",
    "WarmUpSteps",
    "augmentation",
    "data",
    "distribution",
    "draw_curves",
    "load_recipe",
    "make_optimizer",
    "profile",
    "read_history",
    "train",
    "with_teacher",
]

__getattr__ = importer(
    __name__,
    {
        "augmentation": (),
        "data": (),
        "distribution": (),
        "callbacks": ("Diverged", "StopWhenDiverged"),
        "checkpoints": ("Checkpoints",),
        "distillation": ("with_teacher",),
        "layerwise": ("LayerwiseAdamW",),
        "log": ("Log", "draw_curves", "read_history"),
        "optimizer": ("make_optimizer",),
        "profiling": ("Profile", "profile"),
        "schedule": ("OfficialCosine", "WarmUpCosine", "WarmUpSteps"),
        "trainer": ("train",),
    },
)
