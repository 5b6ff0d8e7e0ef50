"""Where the time of a training goes: images/s, and the shares of input, forward, backward and
optimizer.

found = profile(load_recipe("finetune", data="flowers"))
print(found.images_per_second, found.shares)
"""

from keras_pvt.training.profiling.measuring import Profile, profile

__all__ = ["Profile", "profile"]
