"""The detector that has just the weights of a state dict."""

from keras_pvt.conversion.recognise import State
from keras_pvt.conversion.system_arrays import SystemArrays
from keras_pvt.conversion.systems import Outline
from keras_pvt.detection.models.detr import DETR
from keras_pvt.detection.models.mask_rcnn import MaskRCNN
from keras_pvt.detection.models.retinanet import RetinaNet
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.on_backbone import OnBackbone
from keras_pvt.variants import PVTConfig


def build_detector(state: State, system: str, config: PVTConfig, channels: int) -> OnBackbone:
    """A detector that takes normalised images, its widths told from shapes.

    Args:
        state: of a whole detector, of any layout that it has.
        system: that it is, see `system_of_state`.
        config: of its backbone.
        channels: of the images.
    Raises:
        CheckpointError: weights that are missing, or of no possible shape.
    """
    arrays = SystemArrays(state, system, config, Outline())
    backbone = PVTBackbone(config, (None, None, channels))
    if system == "detr":
        return _detr(backbone, arrays)
    if system == "mask_rcnn":
        return _mask_rcnn(backbone, arrays)
    anchors = len(arrays["box_deltas/bias"]) // 4
    return RetinaNet(
        backbone,
        num_classes=len(arrays["class_logits/bias"]) // anchors,
        neck_width=len(arrays["neck_lateral0/bias"]),
        head_depth=arrays.count("class_conv{n}/kernel"),
    )


def _mask_rcnn(backbone: PVTBackbone, arrays: SystemArrays) -> MaskRCNN:
    return MaskRCNN(
        backbone,
        num_classes=len(arrays["box_head/class_logits/bias"]) - 1,
        neck_width=len(arrays["neck_lateral0/bias"]),
        head_width=len(arrays["box_head/fc1/bias"]),
        masks=arrays.get("mask_head/logits/bias") is not None,
    )


def _detr(backbone: PVTBackbone, arrays: SystemArrays) -> DETR:
    """The number of heads leaves no trace in weights: 32 channels each, as all published have."""
    queries, dim = arrays["queries/table"].shape
    return DETR(
        backbone,
        num_classes=len(arrays["class_logits/bias"]) - 1,
        num_queries=queries,
        embed_dim=dim,
        depth=arrays.count("decoder{n}/norm3/gamma"),
        num_heads=max(1, dim // 32),
        hidden_dim=len(arrays["encoder0/fc1/bias"]),
    )
