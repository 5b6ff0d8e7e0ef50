"""A trained detector as one functional model from images to boxes, for export."""

import keras
from keras import ops

from keras_pvt import systems
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.libraries import HEADS
from keras_pvt.detection.ops import boxes as box_ops
from keras_pvt.layers import base
from keras_pvt.models.trained_model import copy_weights
