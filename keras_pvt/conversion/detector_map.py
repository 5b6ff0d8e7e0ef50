"""Which checkpoint key of a detector belongs to which Keras variable."""

from keras_pvt.conversion.key_map import Entry, conv, dense, pyramid_map
from keras_pvt.conversion.layouts import SAME, flattened
from keras_pvt.variants import PVTConfig

# Maps of RetinaNet's neck that come from the backbone's, and all of them.
LATERALS, LEVELS = 3, 5
# Parts of a box, each way, that Mask R-CNN's first dense layer sees.
BOX_PARTS = 7


def retinanet_map(config: PVTConfig, model) -> list[Entry]:
    """Every weight of a `RetinaNet` on PVT, in the order of mmdetection 2.13's state dict."""
    entries = pyramid_map("backbone.", config) + _neck(LATERALS, LEVELS)
    for theirs, ours in (("cls_convs", "class_conv"), ("reg_convs", "box_conv")):
        for n in range(model.head_depth):
            entries += conv(f"bbox_head.{theirs}.{n}.conv", f"{ours}{n}")
    entries += conv("bbox_head.retina_cls", "class_logits")
    return entries + conv("bbox_head.retina_reg", "box_deltas")


def mask_rcnn_map(config: PVTConfig, model) -> list[Entry]:
    """Every weight of a `MaskRCNN` on PVT, in the order of mmdetection 2.13's state dict."""
    levels = len(config.levels)
    entries = pyramid_map("backbone.", config) + _neck(levels, levels)
    for theirs, ours in (("conv", "conv"), ("cls", "logits"), ("reg", "deltas")):
        entries += conv(f"rpn_head.rpn_{theirs}", f"proposal_{ours}")
    theirs, ours = "roi_head.bbox_head", "box_head"
    entries += dense((f"{theirs}.fc_cls",), f"{ours}/class_logits")
    entries += dense((f"{theirs}.fc_reg",), f"{ours}/box_deltas")
    entries += [
        Entry(
            (f"{theirs}.shared_fcs.0.weight",),
            (f"{ours}/fc0/kernel",),
            flattened(BOX_PARTS, BOX_PARTS),
        ),
        Entry((f"{theirs}.shared_fcs.0.bias",), (f"{ours}/fc0/bias",), SAME),
    ]
    entries += dense((f"{theirs}.shared_fcs.1",), f"{ours}/fc1")
    if model.masks:
        theirs, ours = "roi_head.mask_head", "mask_head"
        for n in range(model.mask_depth):
            entries += conv(f"{theirs}.convs.{n}.conv", f"{ours}/conv{n}")
        entries += conv(f"{theirs}.upsample", f"{ours}/upsample")
        entries += conv(f"{theirs}.conv_logits", f"{ours}/logits")
    return entries


def _neck(laterals: int, levels: int) -> list[Entry]:
    entries = []
    for theirs, ours, count in (
        ("lateral_convs", "neck_lateral", laterals),
        ("fpn_convs", "neck_output", levels),
    ):
        for n in range(count):
            entries += conv(f"neck.{theirs}.{n}.conv", f"{ours}{n}")
    return entries
