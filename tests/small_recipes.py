"""A recipe of each system, small, on generated images."""

import pathlib

from keras_pvt.recipes.files import as_toml, load
from keras_pvt.training.profiling import generated

DENSE = {"size": "64x96", "neck_width": 16, "weights": "none"}
RECIPES = {
    "classifier": ("finetune", {"size": "64", "weights": "none"}),
    "retinanet": ("retinanet_bccd", {**DENSE, "head_depth": 1}),
    "mask_rcnn": (
        "mask_rcnn_shapes",
        {**DENSE, "head_width": 16, "compared_anchors": 20, "proposals": 10, "sampled_boxes": 8},
    ),
    "detr": ("detr_bccd", {**DENSE, "depth": 1, "num_queries": 12}),
    "semantic_fpn": ("semantic_fpn_camvid", {**DENSE, "head_width": 8, "scale_to": ""}),
    "trans2seg": ("trans2seg_camvid", {**DENSE, "head_width": 8, "scale_to": ""}),
}


def small(system: str, variant: str = "pvt_nano", **changes):
    """The recipe of a system, which names no data."""
    name, own = RECIPES[system]
    return load(name, **{**own, "variant": variant, "batch_size": 2, "data": "", **changes})


def write(recipe, folder: pathlib.Path, classes: int = 3) -> pathlib.Path:
    """Generated data in a folder, and the recipe for them as a file beside it."""
    file = folder.with_suffix(".toml")
    file.write_text(as_toml(generated.write(recipe, folder, classes)))
    return file
