"""Random augmentation of training images, as in DeiT and PVT: NumPy and Pillow, on any backend.

Every part draws from the generator it is given and from nothing else, so that threads and
processes with a generator each repeat exactly.
"""

from keras_pvt.training.augmentation.crops import random_flip, random_resized_crop, random_shift
from keras_pvt.training.augmentation.erasing import RandomErasing
from keras_pvt.training.augmentation.mixing import MixUpCutMix, smooth_labels
from keras_pvt.training.augmentation.rand_augment import RandAugment
from keras_pvt.training.augmentation.transforms import ColorJitter, EvalTransform, TrainTransform

__all__ = [
    "ColorJitter",
    "EvalTransform",
    "MixUpCutMix",
    "RandAugment",
    "RandomErasing",
    "TrainTransform",
    "random_flip",
    "random_resized_crop",
    "random_shift",
    "smooth_labels",
]
