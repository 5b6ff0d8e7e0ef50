"""Parameters and GFLOPs by arithmetic on the variant table; neither Keras nor weights needed.

A system is a list of `Part`; `total` adds them up. What counts is said at `Cost.gflops`.
"""

from keras_pvt.flops.backbones import backbone, classifier
from keras_pvt.flops.cost import (
    Cost,
    Part,
    batch_norm,
    conv,
    dense,
    norm,
    relu,
    total,
    transposed_conv,
)
from keras_pvt.flops.detection import detr, mask_rcnn, retinanet
from keras_pvt.flops.rivals import resnet50, vit_small
from keras_pvt.flops.semantic_fpn import semantic_fpn
from keras_pvt.flops.trans2seg import Trans2SegGflops, trans2seg, trans2seg_gflops

__all__ = [
    "Cost",
    "Part",
    "Trans2SegGflops",
    "backbone",
    "batch_norm",
    "classifier",
    "conv",
    "dense",
    "detr",
    "mask_rcnn",
    "norm",
    "relu",
    "resnet50",
    "retinanet",
    "semantic_fpn",
    "total",
    "trans2seg",
    "trans2seg_gflops",
    "transposed_conv",
    "vit_small",
]
