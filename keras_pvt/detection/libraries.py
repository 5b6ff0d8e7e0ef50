"""RetinaNet of keras-cv and of KerasHub on a PVT, and how well its anchors fit."""

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator

import keras
import numpy as np

from keras_pvt.detection.data.letterbox import Letterbox
from keras_pvt.detection.data.samples import DetectionSet
from keras_pvt.detection.ops import boxes as box_ops
from keras_pvt.detection.ops.nms import NonMaxSuppression
from keras_pvt.utils.extras import LIBRARIES, needed_for

__all__ = ["best_possible_recall", "retinanet"]

# Library to what its detector calls the classes of the boxes to be learnt.
LABEL_KEYS = {"keras_cv": "classes", "keras_hub": "labels"}


@dataclasses.dataclass(frozen=True)
class Heads:
    """What the heads of a library's RetinaNet give.

    Args:
        boxes: name of the offsets `(B, N, 4)` from the anchors.
        scores: name of the logits `(B, N, classes)`.
        encoding: order of the offsets, see `keras_pvt.detection.serving`.
        variance: numbers that the offsets are multiplied by.
    """

    boxes: str
    scores: str
    encoding: str
    variance: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)


HEADS = {
    "keras_cv": Heads("box", "classification", "center_yxhw", (0.1, 0.1, 0.2, 0.2)),
    "keras_hub": Heads("bbox_regression", "cls_logits", "center_xywh"),
}

MIN_LEVEL, MAX_LEVEL = 3, 7
NUM_SCALES = 3  # an octave has
ASPECT_RATIOS = [0.5, 1.0, 2.0]


@contextlib.contextmanager
def without_input_warning() -> Iterator[None]:
    """Silence Keras's warning about every keras-cv RetinaNet, whose input is declared as a
    dictionary and passed as a tensor, on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The structure of `inputs` doesn't match", UserWarning)
        yield


def retinanet(
    library: str, backbone: keras.Model, num_classes: int, anchor_size: float = 32
) -> tuple[keras.Model, dict]:
    """A RetinaNet on a backbone's levels P3 to P7, boxes xyxy.

    Args:
        library: "keras_cv" or "keras_hub".
        backbone: such as `keras_pvt.PVTBackbone`, with `include_preprocessing=True`: images are
            RGB 0..255. Image sides have to be multiples of 32, for these libraries' pyramid.
        num_classes: number of classes, without a background.
        anchor_size: side in pixels of the smallest square anchor, of level P3; it doubles with
            each level. Boxes smaller than about 0.7 of it are never learnt.
    Returns:
        The model, and the losses: keyword arguments for its `compile`.
    Raises:
        ValueError: an unknown library, or a backbone without the levels P3 to P5.
        ImportError: the library is not installed.
    Source:
        Focal Loss for Dense Object Detection, arXiv 1708.02002.
    """
    builders = {"keras_cv": _keras_cv, "keras_hub": _keras_hub}
    if library not in builders:
        raise ValueError(f"unknown library {library!r}; there are {', '.join(builders)}.")
    missing = {"P3", "P4", "P5"} - set(backbone.pyramid_level_inputs)
    if missing:
        raise ValueError(
            f"a RetinaNet needs a backbone with levels P3 to P5, of strides 8 to 32; "
            f"{backbone.name} has no {', '.join(sorted(missing))}."
        )
    model, losses = builders[library](backbone, num_classes, anchor_size)
    float32_outputs(model)
    return model, losses


def float32_outputs(model: keras.Model) -> None:
    """Let a detector of half precision give its outputs in float32, as the anchors are:
    TensorFlow does not decode a mixture."""
    for layer in model.layers:
        if layer.name in model.output_names:
            layer.dtype_policy = "float32"


def _keras_cv(backbone, num_classes, anchor_size):
    with needed_for("this RetinaNet", *LIBRARIES["keras_cv"]):
        import keras_cv

    levels = range(MIN_LEVEL, MAX_LEVEL + 1)
    anchors = keras_cv.layers.AnchorGenerator(
        "xyxy",
        sizes=[anchor_size * 2 ** (level - MIN_LEVEL) for level in levels],
        scales=[2 ** (n / NUM_SCALES) for n in range(NUM_SCALES)],
        aspect_ratios=ASPECT_RATIOS,
        strides=[2**level for level in levels],
        clip_boxes=True,
        dtype="float32",  # half precision has no room for pixels
    )
    model = keras_cv.models.RetinaNet(
        backbone=backbone,
        num_classes=num_classes,
        bounding_box_format="xyxy",
        label_encoder=keras_cv.models.retinanet.LabelEncoder("xyxy", anchors, dtype="float32"),
        prediction_decoder=NonMaxSuppression("xyxy"),
    )
    return model, {"box_loss": "smoothl1", "classification_loss": "focal"}


def _keras_hub(backbone, num_classes, anchor_size):
    with needed_for("this RetinaNet", *LIBRARIES["keras_hub"]):
        import keras_hub

    pyramid = keras_hub.models.RetinaNetBackbone(
        backbone,
        min_level=MIN_LEVEL,
        max_level=MAX_LEVEL,
        use_p5=False,
        image_shape=tuple(backbone.input_shape[1:]),
        dtype=backbone.dtype_policy,
    )
    anchors = keras_hub.layers.AnchorGenerator(
        "xyxy",
        min_level=MIN_LEVEL,
        max_level=MAX_LEVEL,
        num_scales=NUM_SCALES,
        aspect_ratios=ASPECT_RATIOS,
        anchor_size=anchor_size / 2**MIN_LEVEL,
        dtype="float32",
    )
    model = keras_hub.models.RetinaNetObjectDetector(
        pyramid,
        num_classes=num_classes,
        bounding_box_format="xyxy",
        anchor_generator=anchors,
        prediction_decoder=NonMaxSuppression("xyxy"),
    )
    model.label_encoder.dtype_policy = "float32"
    _initialise(model)
    # KerasHub's own losses are means over the classes and over the coordinates, which its boxes
    # have in whole anchors; the weights make them sums, boxes as in keras-cv.
    losses = {
        "box_loss": keras.losses.Huber(delta=0.1, reduction="sum"),
        "classification_loss": keras.losses.BinaryFocalCrossentropy(
            apply_class_balancing=True, from_logits=True, reduction="sum"
        ),
        "loss_weights": {"bbox_regression": 25.0, "cls_logits": float(num_classes)},
    }
    return model, losses


def _initialise(model):
    """Initial heads as in section 4.1 of the paper, which KerasHub's are not: small weights, and
    a probability of 0.01 for each class."""
    for head, bias in ((model.classification_head, -4.595), (model.box_head, 0.0)):
        for layer in (*head.conv_layers, head.prediction_layer):
            layer.kernel.assign(keras.initializers.RandomNormal(stddev=0.01)(layer.kernel.shape))
        head.prediction_layer.bias.assign(keras.ops.full(head.prediction_layer.bias.shape, bias))


POSITIVE_IOU = 0.5  # from which on a RetinaNet's anchor learns a box


def best_possible_recall(
    model: keras.Model, data: DetectionSet, size: tuple[int, int], limit: int = 200
) -> dict[str, float]:
    """The share of true boxes that an anchor fits, by class; the others are never learnt.

    Args:
        model: from `keras_pvt.detection.libraries.retinanet`.
        data: images with their boxes.
        size: (height, width) in pixels of the images that the model sees.
        limit: only the first so many images count.
    Returns:
        Class name to share, 0 to 1; NaN for a class without boxes.
    """
    levels = model.anchor_generator(keras.ops.zeros((*size, 3)))
    anchors = keras.ops.concatenate(list(levels.values()))
    fits: list[list[bool]] = [[] for _ in data.classes]
    for sample in data.samples[:limit]:
        boxes = Letterbox.fit((sample.height, sample.width), size).boxes(sample.boxes)
        overlap = keras.ops.convert_to_numpy(box_ops.iou(keras.ops.array(boxes), anchors))
        for label, best in zip(sample.labels, overlap.max(axis=1), strict=True):
            fits[label].append(best >= POSITIVE_IOU)
    return {
        name: float(np.mean(own)) if own else np.nan
        for name, own in zip(data.classes, fits, strict=True)
    }
