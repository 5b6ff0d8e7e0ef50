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
    }  # fmt: skip

    system: str = option("retinanet", "retinanet, mask_rcnn or detr")
    data: str = option(
        "",
        'COCO JSON, a folder or file in a format of docs/data.md, or a set such as "voc/2007" or '
        '"coco/2017"',
    )
    val_data: str = option(
        "",
        "the same to evaluate on; empty: the validation split of the data, or val-split of them",
    )
    format: str = option(
        "", "of a folder's boxes, such as voc; empty: the only one that fits", decides=False
    )
    images: str = option("", "folder of a COCO JSON's images; empty: its own")
    val_images: str = option("", "the same for val-data; empty: that of images")
    background: bool = option(False, "train on images without objects too")

    library: str = option(OWN, "whose RetinaNet: keras_pvt, keras_cv or keras_hub")
    masks: bool = option(True, "train the masks of mask_rcnn, which the data then need")
    anchor_size: float = option(32.0, "smallest anchors of retinanet and mask_rcnn in pixels")
    neck_width: int = option(256, "channels of the pyramid, or of detr's transformer")
    head_depth: int = option(4, "convolutions of each of retinanet's towers")
    head_width: int = option(1024, "of mask_rcnn's dense layers")
    compared_anchors: int = option(2000, "of a level, that mask_rcnn's proposals are made of")
    proposals: int = option(1000, "of an image, that mask_rcnn's second stage draws from")
    sampled_boxes: int = option(512, "of an image, that mask_rcnn's second stage learns from")
    depth: int = option(6, "layers of detr's encoder, and of its decoder")
    num_queries: int = option(100, "most objects that detr finds in an image")
    freeze_backbone: bool = option(False, "train the rest only")
    weights: str = option("imagenet", "of the backbone to start from: a name, a file; none")

    batch_size: int = option(16, "images of a step, over all devices")
    epochs: int = option(12, "passes over the data")
    evaluate_every: int = option(1, "epochs from one evaluation to the next")
    schedule: str = option("step", "step (a tenth after each of drops) or cosine")
    drops: str = option("8,11", "epochs after which the rate falls, with commas between them")
    warm_up: float = option(0.0682, "epochs of rising rate, or a part of one")
    backbone_rate: float = option(1.0, "factor of the backbone's rate, with adamw")
    decay_all: bool = option(True, "decay vectors too")
    decay_norms: bool = option(True, "decay norms too, where vectors decay")

    size: str = option("800x1333", "pixels of the images that the model sees, see resize")
    resize: str = option(
        "keep_ratio",
        "keep_ratio (an image is scaled until its shorter or its longer side is that of size) or "
        "canvas (training pictures are all of size, height x width)",
    )
    smallest_side: int = option(
        0, "keep_ratio: draw shorter sides from here on; 0: always that of size"
    )
    side_step: int = option(1, "from one shorter side to the next")
    pad_multiple: int = option(32, "keep_ratio: of pixels that a batch is filled up to")
    smallest_scale: float = option(0.8, "of an image on a canvas; 1: it just fits")
    largest_scale: float = option(1.25, "the same")
    flip_y: bool = option(False, "flip up and down too, as for a microscope")

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
