"""The detector that a recipe describes."""

import keras

from keras_pvt.detection.detector import Detector
from keras_pvt.detection.libraries import LABEL_KEYS, retinanet
from keras_pvt.detection.models.detr import DETR
from keras_pvt.detection.models.mask_rcnn import MaskRCNN
from keras_pvt.detection.models.retinanet import FROM_BACKBONE, RetinaNet
from keras_pvt.detection.recipe import DetectionRecipe
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.feature_pyramid import coarsest_levels, exponent


def build(recipe: DetectionRecipe, classes: list[str]) -> tuple[Detector, PVTBackbone, dict]:
    """The detector, the backbone in it, and the losses to compile it with.

    Args:
        recipe: what to build.
        classes: names, in the order of the labels.
    Raises:
        ValueError: weights or widths that do not fit.
        ImportError: the library is not installed.
    """
    backbone = PVTBackbone(
        recipe.variant,
        weights=None if recipe.weights in ("", "none") else recipe.weights,
        input_shape=(None, None, 3) if recipe.own else (*recipe.size, 3),
        drop_path_rate=recipe.drop_path,
        include_preprocessing=True,
        name="images" if recipe.model == "detr" else None,  # as DETR calls its input
    )
    backbone.trainable = not recipe.freeze_backbone
    model: keras.Model
    losses: dict = {}
    if not recipe.own:
        model, losses = retinanet(recipe.library, backbone, len(classes), recipe.anchor_size)
    elif recipe.model == "detr":
        model = DETR(
            backbone, len(classes), recipe.num_queries, recipe.neck_width, depth=recipe.depth
        )
    elif recipe.model == "mask_rcnn":
        model = MaskRCNN(
            backbone,
            len(classes),
            recipe.neck_width,
            recipe.head_width,
            masks=recipe.masks,
            sampled_boxes=recipe.sampled_boxes,
            compared_anchors=recipe.compared_anchors,
            proposals=recipe.proposals,
            anchor_side=recipe.anchor_size / _stride(backbone, 4),
        )
    else:
        model = RetinaNet(
            backbone,
            len(classes),
            recipe.neck_width,
            recipe.head_depth,
            anchor_side=recipe.anchor_size / _stride(backbone, FROM_BACKBONE),
        )
    return Detector(model, recipe.library, classes, recipe.size), backbone, losses


def _stride(backbone: PVTBackbone, levels: int) -> int:
    """Side in pixels of a cell of the finest of so many levels."""
    return 2 ** exponent(coarsest_levels(backbone, levels)[0])


def label_key(recipe: DetectionRecipe) -> str:
    """What the detector calls the classes of the boxes to be learnt."""
    return LABEL_KEYS.get(recipe.library, "classes")
