"""The detector that a recipe describes."""

from keras_pvt import systems
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.libraries import LABEL_KEYS, retinanet
from keras_pvt.detection.recipe import DetectionRecipe
from keras_pvt.models.backbone import PVTBackbone


def build(recipe: DetectionRecipe, classes: list[str]) -> tuple[Detector, PVTBackbone, dict]:
    """The detector, the backbone in it, and the losses to compile it with.

    Args:
        recipe: what to build.
        classes: names, in the order of the labels.
    Raises:
        ValueError: weights or widths that do not fit.
        ImportError: the library is not installed.
    """
    losses: dict = {}
    if recipe.own:
        model, backbone = systems.named(recipe.system).load("build")(recipe, len(classes))
    else:
        backbone = PVTBackbone.from_recipe(recipe, input_shape=(*recipe.detector_size, 3))
        model, losses = retinanet(recipe.library, backbone, len(classes), recipe.anchor_size)
    return Detector(model, recipe.library, classes, recipe.detector_size), backbone, losses


def label_key(recipe: DetectionRecipe) -> str:
    """What the detector calls the classes of the boxes to be learnt."""
    return LABEL_KEYS.get(recipe.library, "classes")
