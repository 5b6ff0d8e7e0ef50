"""Parameters and GFLOPs by arithmetic on the variant table; neither Keras nor weights needed."""

from keras_pvt.flops.pvt import Cost, Part, backbone, classifier, conv, dense, norm, total

__all__ = ["Cost", "Part", "backbone", "classifier", "conv", "dense", "norm", "total"]
