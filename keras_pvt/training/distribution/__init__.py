"""How training is spread over devices and processes, by the engines that Keras or a backend has.

strategy = distribution.choose("auto")
with strategy.scope():
    model = strategy.replicate(keras_pvt.classifier("pvt_tiny"))
    model.compile(...)
    model.fit(..., callbacks=[strategy.callback(), ...])
strategy.close()
"""

from keras_pvt.training.distribution.layout_map import pvt_layout_map
from keras_pvt.training.distribution.selection import choose, initialize
from keras_pvt.training.distribution.strategy import Strategy

__all__ = ["Strategy", "choose", "initialize", "pvt_layout_map"]
