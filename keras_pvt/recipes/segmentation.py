"""Recipes of segmenters."""

import dataclasses
import typing

from keras_pvt import systems
from keras_pvt.recipes.base import BaseRecipe, option

MEANS = ("all", "valid")


@dataclasses.dataclass(frozen=True)
class SegmentationRecipe(BaseRecipe):
    """Options of a segmenter's training run; each is a flag of `keras-pvt train` too.

    Source of the meanings: mmsegmentation 0.13 with whai362/PVT segmentation/configs/sem_fpn/PVT;
    xieenze/Trans2Seg.
    """

    choices: typing.ClassVar = {
        "system": systems.NamesOf("segmentation"),
        "schedule": ("poly", "cosine"),
        "loss_mean": MEANS,
    }
    numbers: typing.ClassVar = {
        "above 0": (
            "steps", "evaluate_every", "neck_width", "head_width",
            "smallest_scale", "largest_scale", "max_share", "head_rate",
        ),
        "0 or more": ("evaluate_size",),
        "0 to 1": ("head_drop",),
    }  # fmt: skip
    length: typing.ClassVar = "steps"

    system: str = option("semantic_fpn", "semantic_fpn or trans2seg")
    data: str = option("", "folder with images and labels, or a data set such as scene_parse150")
    classes: int = option(0, "number of classes; 0: as in classes.txt or the labels")
    ignore: str = option("255", "ids that stand for no class, separated by commas")
    reduce_zero: bool = option(False, "id 0 stands for no class, 1 is the first, as in ADE20K")

    neck_width: int = option(
        256, "channels of Semantic FPN's pyramid, or of Trans2Seg's transformer"
    )
    head_width: int = option(128, "channels of the head; Trans2Seg has 64")
    skip_level: str = option("P2", "map that Trans2Seg's head adds; empty: none")
    head_drop: float = option(0.1, "probability of dropping a channel in Semantic FPN's head")

    steps: int = option(40000, "steps of the whole run")
    evaluate_every: int = option(4000, "steps from one evaluation and checkpoint to the next")
    learning_rate: float = option(2e-4, "peak learning rate")
    head_rate: float = option(1.0, "factor of the learning rate outside the backbone, with adamw")
    schedule: str = option("poly", "poly (power 0.9) or cosine")
    warm_up: float = option(
        0.0, "epochs (evaluate-every steps each) in which the learning rate rises, with cosine"
    )
    decay_all: bool = option(True, "apply weight decay to vectors too")
    decay_norms: bool = option(True, "apply weight decay to norms too, if vectors decay")
    loss_mean: str = option(
        "all", "all (average the loss over all pixels) or valid (over the valid ones)"
    )

    size: str = option("512x512", "size of the training crops, in pixels")
    scale_to: str = option(
        "512x2048", "shorter and longer side of an image at scale 1; empty: its own"
    )
    smallest_scale: float = option(0.5, "smallest scale of an image before it is cropped")
    largest_scale: float = option(2.0, "largest scale of an image before it is cropped")
    max_share: float = option(
        0.75, "largest share of one class in a crop; otherwise another crop is tried"
    )
    distortion: bool = option(True, "change brightness, contrast, saturation and hue")
    evaluate_size: int = option(512, "shorter side in evaluation; 0: the image's own")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps % self.evaluate_every:
            raise ValueError(
                f"--steps must be a multiple of --evaluate-every; got {self.steps} and "
                f"{self.evaluate_every}"
            )
        if self.smallest_scale > self.largest_scale:
            raise ValueError(
                f"--smallest-scale must not be above --largest-scale; got {self.smallest_scale} "
                f"and {self.largest_scale}"
            )
        self.sides()
        if not 0 <= self.classes <= 255:
            raise ValueError(f"--classes must be 1 to 255, or 0; got {self.classes}")
        if not all(word.strip().isdecimal() for word in self.ignore.split(",") if word):
            raise ValueError(f"--ignore must be ids such as 0,255; got {self.ignore!r}")

    @property
    def epochs(self) -> int:
        """Stretches of `evaluate_every` steps."""
        return self.steps // self.evaluate_every

    @property
    def base(self) -> tuple[int, int] | None:
        """Longer and shorter side that a scale of 1 fits an image to; None is its own size."""
        if not self.scale_to:
            return None
        sides = self.sides("scale_to")
        return max(sides), min(sides)

    @property
    def ignored(self) -> tuple[int, ...]:
        """Ids of pixels without a class, as in the files."""
        return tuple(int(word) for word in self.ignore.split(",") if word)
