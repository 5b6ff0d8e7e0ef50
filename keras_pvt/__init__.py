from keras_pvt import layers
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.classifier import classifier
from keras_pvt.preprocessing import preprocess_input
