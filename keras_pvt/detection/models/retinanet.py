"""RetinaNet: a class and a box for each anchor of a feature pyramid."""

import math

import keras
from keras import ops

from keras_pvt.detection.losses.focal import anchor_losses, assign_targets
from keras_pvt.detection.models.base import DetectionModel
from keras_pvt.detection.ops.anchors import Anchors, per_anchor, within
from keras_pvt.detection.ops.matching import Matcher
from keras_pvt.detection.ops.nms import NonMaxSuppression
from keras_pvt.detection.ops.pyramid_decoder import PyramidDecoder
from keras_pvt.layers import base
from keras_pvt.layers.initial_values import Normal
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.convolution import apply_layers, conv_layer
from keras_pvt.models.feature_pyramid import (
    coarsest_levels,
    feature_pyramid,
    finest_stride,
    level_number,
    pyramid_maps,
    strided_conv,
)

# Levels of the backbone that are used, and coarser ones that are added.
FROM_BACKBONE, ADDED = 3, 2
# Probability of each class that an untrained model gives.
PRIOR = 0.01
# Of its head's kernels.
DEVIATION = 0.01


@base.register
class RetinaNet(DetectionModel):
    """RetinaNet on any backbone, images of any size.

    The model computes its own losses: call `model.compile(optimizer)` without a loss, then
    `model.fit(images, {"boxes": ..., "classes": ...})`. `detector` returns the model that ends in
    boxes.

    Args:
        backbone: `PVTBackbone`, or a functional model with `pyramid_outputs`, as KerasHub's.
            Its three coarsest levels are used, P3 to P5 of PVT (a cell of level PN has 2**N pixels
            a side). Its layers become layers of this model.
        num_classes: K, without a background.
        neck_width: channels of the feature pyramid and of the head.
        head_depth: convolutions of each of the head's two towers, before the last.
        anchor_side: side of the smallest square anchor, in cells: 4 is 32 pixels in P3. A box
            smaller than about 0.7 of it is hardly learnt.
        name: of the model.
        dtype: policy of neck and head; by default the backbone's. Outputs are float32 at least.
    Call arguments:
        x: what the backbone takes, float images `(B, H, W, channels)`.
    Returns:
        A dictionary with two entries. Each has a map for each level, "P3" to "P7" on PVT, whose
        cells have 2**3 to 2**7 pixels a side and A = 9 anchors each:
        "class_logits" `(B, h, w, A * K)`, one sigmoid for each class, anchor after anchor;
        "box_deltas" `(B, h, w, A * 4)`, the shift of the anchor's centre in x and y, in sides
        of the anchor, and logarithms of the factors of its width and height.
    Labels to train on:
        A dictionary: "boxes" `(B, G, 4)`, "xyxy" in pixels of the images; "classes" `(B, G)`,
        0 to K - 1, or -1 for padding; and, where images were padded to the size of a batch,
        "sizes" `(B, 2)`, their (height, width) in pixels without it: anchors whose centre lies
        beyond them, rounded up to `multiple`, learn nothing. The logs have `class_loss` and
        `box_loss`; the loss is their sum.
    Attributes:
        num_classes: K.
        anchors: the `Anchors` of a cell.
        multiple: the official code pads image sides to a multiple of this number of pixels.
    Raises:
        ValueError: a backbone without pyramid; numbers out of range.
    Source:
        Focal Loss for Dense Object Detection, arXiv 1708.02002; PVT, arXiv 2102.12122, section
        5.2; mmdetection 2.13 with whai362/PVT detection/configs/retinanet_pvt_t_fpn_1x_coco.py.
    """

    system = "retinanet"
    loss_names = ("class_loss", "box_loss")
    matcher = Matcher()

    def __init__(
        self,
        backbone: keras.Model,
        num_classes: int = 80,
        neck_width: int = 256,
        head_depth: int = 4,
        anchor_side: float = 4.0,
        name: str = "retinanet",
        dtype=None,
    ):
        base.check_positive(
            "RetinaNet", num_classes=num_classes, neck_width=neck_width, head_depth=head_depth
        )
        if not anchor_side > 0:
            raise ValueError(f"RetinaNet: `anchor_side` is in cells, above 0; got {anchor_side!r}.")
        policy = self.policy_for(backbone, dtype)
        anchors = Anchors(side=anchor_side)
        pyramid = _neck(backbone, neck_width, policy)
        outputs = {}
        for output, tower, width, bias in (
            ("class_logits", "class_conv", num_classes, -math.log(1 / PRIOR - 1)),
            ("box_deltas", "box_conv", 4, 0.0),
        ):
            layers = _head(tower, neck_width, head_depth, policy)
            layers.append(
                conv_layer(
                    anchors.per_cell * width,
                    3,
                    self.logits_policy(policy),
                    output,
                    initializer=Normal(stddev=DEVIATION),
                    bias_initializer=keras.initializers.Constant(bias),
                )
            )
            outputs[output] = {level: apply_layers(layers, x) for level, x in pyramid.items()}
        super().__init__(self.backbone_input(backbone), outputs, name=name)
        self.store_config(
            backbone,
            policy,
            num_classes=num_classes,
            neck_width=neck_width,
            head_depth=head_depth,
            anchor_side=anchor_side,
        )
        self.head_depth, self.anchors = head_depth, anchors
        self.multiple = 2 ** level_number(coarsest_levels(backbone, 1)[0])
        self.track_losses()

    @classmethod
    def from_arrays(cls, arrays, size=None, logits: bool = False) -> "RetinaNet":
        """An untrained model of the widths of a checkpoint, see `System.from_arrays`."""
        options = arrays.arguments(
            num_classes=arrays.classes(),
            neck_width=len(arrays["neck_lateral0/bias"]),
            head_depth=arrays.count("class_conv{n}/kernel"),
        )
        return cls(arrays.backbone(*(size or (None, None))), **options)

    @classmethod
    def from_recipe(cls, recipe, num_classes: int) -> tuple["RetinaNet", PVTBackbone]:
        """A model to train and the backbone in it, see `System.build`."""
        backbone = PVTBackbone.from_recipe(recipe)
        model = cls(
            backbone,
            num_classes,
            recipe.neck_width,
            recipe.head_depth,
            anchor_side=recipe.anchor_size / finest_stride(backbone, FROM_BACKBONE),
        )
        return model, backbone

    def detector(
        self,
        suppression: NonMaxSuppression | None = None,
        per_level: int = 1000,
        padded: bool = False,
    ) -> keras.Model:
        """A functional model of the same layers that ends in boxes.

        Args:
            suppression: of duplicates; by default the official one: scores above 0.05, overlaps
                up to 0.5, 100 boxes, empty ones too.
            per_level: how many anchors of a level are compared, at most; those with the highest
                scores.
            padded: whether images have padding on the right and at the bottom. The model then takes
                {"images": images, "sizes": float `(B, 2)`, (height, width) in pixels of each
                without it}, and clips boxes to the images; otherwise it takes the images alone.
        Returns:
            A model that gives the dictionary of `NonMaxSuppression`, boxes in pixels of the
            images.
        Source:
            mmdetection 2.13. Differs only if fewer than 100 of the best
            `suppression.max_candidates` pairs of box and class remain: the official code compares
            all pairs.
        """
        candidates = PyramidDecoder(
            self.num_classes, self.anchors, per_level, dtype="float32", name="candidates"
        )
        if suppression is None:
            suppression = NonMaxSuppression(
                "xyxy", drop_empty=False, dtype="float32", name="suppression"
            )
        if not padded:
            found = suppression(*candidates(self.output, images=self.input))
            return keras.Model(self.input, found, name=self.name)
        sizes = keras.Input((2,), dtype="float32", name="sizes")
        found = suppression(*candidates(self.output, sizes=sizes))
        return keras.Model({"images": self.input, "sizes": sizes}, found, name=self.name)

    def anchor_losses(self, y, y_pred) -> tuple:
        """The losses of each anchor, level after level.

        Args:
            y: labels: a dictionary of "boxes" and "classes", which the class describes.
            y_pred: what the model gives.
        Returns:
            Class losses and box losses, both `(B, N)`; the loss is the sum of all.
        """
        levels = self.anchors.of_maps(y_pred["class_logits"])
        anchors = ops.concatenate(list(levels.values()))
        targets = assign_targets(
            anchors,
            ops.convert_to_tensor(y["boxes"]),
            ops.convert_to_tensor(y["classes"]),
            self.matcher,
            within(anchors, y["sizes"], self.multiple) if "sizes" in y else None,
        )
        logits, deltas = (
            ops.concatenate([per_anchor(x, width) for x in y_pred[output].values()], axis=1)
            for output, width in (("class_logits", self.num_classes), ("box_deltas", 4))
        )
        return anchor_losses(logits, deltas, targets)

    def loss_parts(self, x, y, y_pred):
        return [ops.sum(loss) for loss in self.anchor_losses(y, y_pred)]


def _neck(backbone, width, policy) -> dict:
    """The maps of all levels by their names."""
    levels = coarsest_levels(backbone, FROM_BACKBONE)
    maps = pyramid_maps(backbone, FROM_BACKBONE)
    initializer = "glorot_uniform"
    pyramid = feature_pyramid(maps, width, policy, initializer)
    x = maps[-1]
    for n in range(FROM_BACKBONE, FROM_BACKBONE + ADDED):
        x = strided_conv(x, width, policy, f"neck_output{n}", initializer)
        levels.append(f"P{level_number(levels[-1]) + 1}")
        pyramid.append(x)
    return dict(zip(levels, pyramid, strict=True))


def _head(name, width, depth, policy) -> list:
    """Layers that all levels share."""
    return [
        conv_layer(
            width, 3, policy, f"{name}{n}", activation="relu", initializer=Normal(stddev=DEVIATION)
        )
        for n in range(depth)
    ]
