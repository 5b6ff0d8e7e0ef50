"""Recipes of detectors."""

import dataclasses
import typing

from keras_pvt import systems
from keras_pvt.recipes.base import BaseRecipe, option
from keras_pvt.utils.extras import LIBRARIES

OWN = "keras_pvt"


@dataclasses.dataclass(frozen=True)
class DetectionRecipe(BaseRecipe):
    """Options of a detector's training run; each is a flag of `keras-pvt train` too.

    The defaults are those of the published RetinaNets, 1x.

    Source of the meanings: mmdetection 2.13 with whai362/PVT detection/configs.
    """

    choices: typing.ClassVar = {
        "library": (OWN, *LIBRARIES),
        "system": systems.NamesOf("detection"),
        "schedule": ("step", "cosine"),
        "resize": ("keep_ratio", "canvas"),
    }
    numbers: typing.ClassVar = {
        "above 0": (
            "epochs", "evaluate_every", "anchor_size", "neck_width", "head_depth", "head_width",
            "depth", "compared_anchors", "proposals", "sampled_boxes",
            "num_queries", "side_step", "pad_multiple",
            "smallest_scale", "largest_scale", "backbone_rate",
        ),
        "0 or more": ("smallest_side",),
        "0 or more, below 1": ("head_drop",),
    }  # fmt: skip

    system: str = option("retinanet", "retinanet, mask_rcnn or detr")
    data: str = option(
        "",
        'COCO JSON, a folder or file in a format of docs/data.md, or a data set such as "voc/2007" '
        'or "coco/2017"',
    )
    val_data: str = option(
        "",
        "data to evaluate on, as for data; empty: its validation split, or val-split of it",
    )
    format: str = option(
        "", "format of a folder's boxes, such as voc; empty: the only one that fits", decides=False
    )
    images: str = option("", "folder of a COCO JSON's images; empty: its own")
    val_images: str = option("", "folder of val-data's images; empty: that of images")
    background: bool = option(False, "also train on images without objects")

    library: str = option(OWN, "library whose RetinaNet is used: keras_pvt, keras_cv or keras_hub")
    masks: bool = option(True, "train the masks of mask_rcnn; the data must have masks")
    anchor_size: float = option(
        32.0, "size of the smallest anchors of retinanet and mask_rcnn in pixels"
    )
    neck_width: int = option(256, "channels of the pyramid, or of detr's transformer")
    head_depth: int = option(4, "convolutions in each of retinanet's towers")
    head_width: int = option(1024, "width of mask_rcnn's dense layers")
    compared_anchors: int = option(
        2000, "anchors of a level that mask_rcnn's proposals are selected from"
    )
    proposals: int = option(1000, "proposals of an image for mask_rcnn's second stage")
    sampled_boxes: int = option(
        512, "boxes of an image that mask_rcnn's second stage is trained on"
    )
    depth: int = option(6, "layers of detr's encoder, and layers of its decoder")
    num_queries: int = option(100, "largest number of objects that detr finds in an image")
    head_drop: float = option(0.1, "probability of dropping a feature in detr's transformer")
    freeze_backbone: bool = option(False, "do not train the backbone")
    weights: str = option("imagenet", "initial weights of the backbone: a name, a file, or none")

    batch_size: int = option(16, "images in a step, on all devices together")
    epochs: int = option(12, "passes over the data")
    evaluate_every: int = option(1, "epochs from one evaluation to the next")
    schedule: str = option(
        "step", "step (the learning rate is divided by 10 after each of drops) or cosine"
    )
    drops: str = option("8,11", "epochs after which the learning rate falls, separated by commas")
    warm_up: float = option(
        0.0682, "epochs (or a fraction of one) in which the learning rate rises"
    )
    backbone_rate: float = option(1.0, "factor of the backbone's learning rate, with adamw")
    decay_all: bool = option(True, "apply weight decay to vectors too")
    decay_norms: bool = option(True, "apply weight decay to norms too, if vectors decay")

    size: str = option("800x1333", "image size in pixels, see resize")
    resize: str = option(
        "keep_ratio",
        "keep_ratio (an image is scaled until its shorter or longer side reaches that of size) or "
        "canvas (all training images have size, height x width)",
    )
    smallest_side: int = option(
        0, "keep_ratio: draw shorter sides between this and that of size; 0: always that of size"
    )
    side_step: int = option(1, "step between the shorter sides that are drawn")
    pad_multiple: int = option(32, "keep_ratio: sides of a batch are padded to multiples of this")
    smallest_scale: float = option(0.8, "smallest scale of an image on a canvas; 1: it just fits")
    largest_scale: float = option(1.25, "largest scale of an image on a canvas")
    flip_y: bool = option(False, "also flip up and down, as for a microscope")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smallest_scale > self.largest_scale:
            raise ValueError(
                f"--smallest-scale must not be above --largest-scale; got {self.smallest_scale} "
                f"and {self.largest_scale}"
            )
        if self.smallest_side > min(self.sides()):
            raise ValueError(
                f"--smallest-side must not be above the shorter side of --size; got "
                f"{self.smallest_side} and {self.size}"
            )
        if not all(word.strip().isdecimal() for word in self.drops.split(",") if word):
            raise ValueError(f"--drops must be epochs such as 8,11; got {self.drops!r}")
        if self.library != OWN:
            if self.system != "retinanet":
                raise ValueError(f"--system {self.system} is of --library {OWN} only")
            if self.load_from:
                raise ValueError(f"--load-from is of --library {OWN} only")
            if self.canvas is None or any(side % 32 for side in self.canvas):
                raise ValueError(
                    f"--library {self.library} needs --resize canvas and a --size of multiples "
                    f"of 32, for its feature pyramid; got {self.resize} and {self.size}"
                )

    @property
    def own(self) -> bool:
        """Whether the detector is this package's."""
        return self.library == OWN

    @property
    def canvas(self) -> tuple[int, int] | None:
        """(height, width) of what the model is trained on, where that is always the same."""
        return self.sides() if self.resize == "canvas" else None

    @property
    def detector_size(self) -> tuple[int, int]:
        """What the trained detector scales images to fit, see `Detector`."""
        height, width = self.sides()
        if not self.own:
            return height, width
        return min(height, width), max(height, width)

    @property
    def with_masks(self) -> bool:
        """Whether the data need outlines."""
        return systems.named(self.system).masks and self.masks

    @property
    def drop_epochs(self) -> list[int]:
        """Epochs after which the rate falls."""
        return [int(word) for word in self.drops.split(",") if word]
