"""The tasks of keras-cv."""

import numpy as np

import keras_pvt
from tasks.common import (
    BOXES,
    CLASSES,
    LABELS,
    MASKS,
    MULTIPLES,
    RESNET,
    SIZE,
    Task,
    compiled,
    everywhere,
    from_document,
    small_backbone,
)

RESIZE = ("fit", "grad_input must be contiguous", "refuses the gradient of the last resize")


def retinanet():
    return from_document("README.md", "keras_cv.models.RetinaNet(")


def yolo():
    import keras_cv

    backbone = small_backbone()
    model = keras_cv.models.YOLOV8Detector(
        num_classes=CLASSES,
        bounding_box_format="xyxy",
        backbone=backbone,
        fpn_depth=1,
        prediction_decoder=keras_pvt.detection.NonMaxSuppression("xyxy", from_logits=False),
    )
    target = {"boxes": BOXES, "classes": LABELS}
    losses = {"box_loss": "ciou", "classification_loss": "binary_crossentropy"}
    return compiled(backbone, model, target, **losses)


def classifier():
    import keras_cv

    backbone = small_backbone()
    model = keras_cv.models.ImageClassifier(backbone=backbone, num_classes=3)
    return compiled(backbone, model, np.array([0, 2]), loss="sparse_categorical_crossentropy")


def segmenter(name: str, **options):
    import keras_cv

    backbone = small_backbone()
    model = getattr(keras_cv.models, name)(backbone=backbone, num_classes=3, **options)
    return compiled(backbone, model, MASKS, loss="sparse_categorical_crossentropy")


def basnet():
    import keras_cv

    backbone = small_backbone(input_shape=(None, None, 3))
    model = keras_cv.models.BASNet(backbone=backbone, num_classes=1, input_shape=SIZE)
    return compiled(backbone, model, MASKS, loss="mse")


def video():
    import keras_cv

    backbone = small_backbone()
    model = keras_cv.models.VideoClassifier(backbone=backbone, num_classes=3)
    return compiled(backbone, model, LABELS, loss="mse")


TASKS = [
    Task("keras_cv", "RetinaNet", retinanet, f"five lines in the README; {MULTIPLES}"),
    Task(
        "keras_cv",
        "YOLOV8Detector",
        yolo,
        f"`NonMaxSuppression(..., from_logits=False)`; {MULTIPLES}",
        slow=("jax",),
    ),
    Task("keras_cv", "ImageClassifier", classifier, "any size"),
    Task(
        "keras_cv",
        "DeepLabV3Plus",
        lambda: segmenter("DeepLabV3Plus"),
        MULTIPLES,
        fails={"torch": RESIZE},
    ),
    Task(
        "keras_cv",
        "SegFormer",
        lambda: segmenter("SegFormer", projection_filters=16),
        "`input_shape` without None",
        fails={"torch": RESIZE},
    ),
    Task("keras_cv", "BASNet", basnet, fails=everywhere("build", "v2_stack_0", RESNET)),
    Task(
        "keras_cv",
        "VideoClassifier",
        video,
        fails=everywhere("build", "expected ndim=5", "wants a backbone for video"),
    ),
]
# Classes that take a backbone, and are not for PVT.
OTHERS = {
    "MultiHeadCenterPillar": "is for lidar",
    "SegmentAnythingModel": "cannot be trained",
    **{f"SegFormerB{n}": "brings its own backbone; take `SegFormer`" for n in range(6)},
}
