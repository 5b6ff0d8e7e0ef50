"""What has to be known to use an artifact, which it keeps."""

import dataclasses
import json
from typing import Any

import keras

from keras_pvt.models.inputs import takes_pixels
from keras_pvt.models.trained_model import kind_of, says_logits
from keras_pvt.utils.extras import LIBRARIES

# What a model that ends in boxes gives, whoever made it.
BOXES = {"boxes", "confidence", "classes", "num_detections"}
TASKS = ("classification", "detection", "segmentation")


@dataclasses.dataclass(frozen=True)
class Facts:
    """How an artifact is used.

    Args:
        shape: of its input, (batch, height, width, channels); None for what is open.
        pixels: whether it takes RGB 0..255, else images normalised by `preprocess_input`.
        task: "classification", "detection" or "segmentation"; None: it gives no answers, as a
            backbone.
        logits: whether a classifier ends before softmax; None: it is none, or nothing tells.
        antialias: of a detector, whether images were scaled with antialiasing, as for keras-cv's
            and KerasHub's.
        resize_size: of a classifier, the pixels that the short side of an image is scaled to
            before the crop; None: as the size of the crop has it, see
            `keras_pvt.utils.images.default_resize_size`.
    Raises:
        ValueError: values that cannot be.
    """

    shape: tuple[int | None, ...]
    pixels: bool
    task: str | None = None
    logits: bool | None = None
    antialias: bool = False
    resize_size: int | None = None

    def __post_init__(self):
        sides = [*self.shape, 1 if self.resize_size is None else self.resize_size]
        flags = [self.pixels, self.antialias, False if self.logits is None else self.logits]
        if (
            len(self.shape) != 4
            or not all(side is None or (type(side) is int and 0 < side < 1 << 31) for side in sides)
            or not all(type(flag) is bool for flag in flags)
            or self.task not in (None, *TASKS)
        ):
            raise ValueError(f"an artifact cannot be used as {dataclasses.asdict(self)}.")

    def text(self) -> str:
        """The facts as JSON, which `of_text` reads."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def of_text(cls, text: str) -> "Facts":
        """The facts that `text` has written.

        Raises:
            ValueError: it is something else.
        """
        try:
            content = json.loads(text)
            return cls(**{**content, "shape": tuple(content["shape"])})
        except (TypeError, KeyError, RecursionError) as error:
            raise ValueError(f"an artifact with facts that cannot be read: {error}") from error

    @classmethod
    def of_model(
        cls,
        model: keras.Model,
        named: keras.Model,
        shape: tuple[int | None, ...],
        resize_size: int | None = None,
    ) -> "Facts":
        """The facts of a model that is exported.

        Args:
            model: as the user has it.
            named: what is written of it, see `keras_pvt.exporting.subject.named`.
            shape: of the input.
            resize_size: see the class.
        """
        outputs: Any = named.output
        layers = [
            type(layer).__module__.split(".")[0] for layer in (model, *model._flatten_layers())
        ]
        foreign = not LIBRARIES.keys().isdisjoint(layers)
        _, _, task = kind_of(model)
        if set(outputs) >= BOXES:
            task = "detection"
        elif task == "detection":  # the heads alone, without boxes
            task = None
        pixels = takes_pixels(named) or foreign or task == "detection"
        logits = says_logits(model) if task == "classification" else None
        resize_size = resize_size if task == "classification" else None
        return cls(shape, pixels, task, logits, foreign, resize_size)
