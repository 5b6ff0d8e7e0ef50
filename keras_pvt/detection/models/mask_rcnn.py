"""Mask R-CNN: a class, a box and a mask for each of the best proposals."""

import keras
from keras import ops

from keras_pvt.detection.losses.focal import assign_targets, valid_boxes
from keras_pvt.detection.losses.roi import box_losses, box_targets, mask_loss, proposal_losses
from keras_pvt.detection.models.base import DetectionModel
from keras_pvt.detection.models.roi_heads import BoxHead, ClassBoxes, MaskHead
from keras_pvt.detection.ops.anchors import Anchors, per_anchor, within
from keras_pvt.detection.ops.masks import MaskProbabilities
from keras_pvt.detection.ops.matching import BACKGROUND, IGNORED, Matcher
from keras_pvt.detection.ops.nms import NonMaxSuppression
from keras_pvt.detection.ops.proposals import Proposals
from keras_pvt.detection.ops.sampling import sample_boxes
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
)

LEVELS = 4


@base.register
class MaskRCNN(DetectionModel):
    """Mask R-CNN, or Faster R-CNN, on any backbone, images of any size.

    The model computes its own losses: call `model.compile(optimizer)` without a loss, then
    `model.fit(images, {"boxes": ..., "classes": ..., "masks": ...})`. `detector` returns the model
    that ends in boxes and masks.

    Args:
        backbone: `PVTBackbone`, or a functional model with `pyramid_outputs`, as KerasHub's.
            Its four coarsest levels are used, P2 to P5 of PVT (a cell of level PN has 2**N pixels a
            side). Its layers become layers of this model.
        num_classes: K, without a background.
        neck_width: channels of the feature pyramid and of the convolutions after it.
        head_width: width of the two dense layers of the box head.
        anchor_side: side of the smallest square anchor, in cells: 8 is 32 pixels in P2.
        masks: whether there is a mask head; without one the model is a Faster R-CNN.
        sampled_anchors: anchors of an image that a training step learns from, at most half of
            them with an object.
        sampled_boxes: proposals of an image that a training step learns from, at most a quarter
            of them with an object.
        compared_anchors: anchors of a level, those with the highest scores, that become
            proposals in training.
        proposals: largest number of proposals of an image in training.
        name: of the model.
        dtype: policy of neck and heads; by default the backbone's. Outputs are float32 at least.
    Call arguments:
        x: what the backbone takes, float images `(B, H, W, channels)`.
    Returns:
        The first stage, a dictionary: "proposal_logits" and "proposal_deltas", each with a map
        of each level, "P2" to "P6" on PVT, `(B, h, w, A)` and `(B, h, w, A * 4)` of A = 3
        anchors a cell; "pyramid", the maps `(B, h, w, neck_width)` of "P2" to "P5".
    Labels to train on:
        A dictionary: "boxes" `(B, G, 4)`, "xyxy" in pixels of the images; "classes" `(B, G)`,
        0 to K - 1, or -1 for padding; "masks" `(B, G, H, W)`, 0 or 1, of the images' size; and,
        where images were padded to the size of a batch, "sizes" `(B, 2)`, their
        (height, width) in pixels without it: anchors whose centre lies beyond them, rounded up
        to `multiple`, learn nothing.
        The logs have `proposal_class_loss`, `proposal_box_loss`, `class_loss`, `box_loss` and
        `mask_loss`; the loss is their sum. Anchors and proposals to learn from are drawn at
        random.
    Attributes:
        num_classes: K.
        box_head: gives classes and boxes of proposals.
        mask_head: gives masks of boxes; None without masks.
        anchors: the `Anchors` of a cell.
        multiple: the official code pads image sides to a multiple of this number of pixels.
    Raises:
        ValueError: a backbone without pyramid; numbers out of range; labels without masks.
    Source:
        Mask R-CNN, arXiv 1703.06870; PVT, arXiv 2102.12122, section 5.2; mmdetection 2.13 with
        whai362/PVT detection/configs/mask_rcnn_pvt_t_fpn_1x_coco.py.
    """

    system = "mask_rcnn"
    loss_names = ("proposal_class_loss", "proposal_box_loss", "class_loss", "box_loss", "mask_loss")
    proposal_matcher = Matcher(0.7, 0.3, best_from=0.3)
    box_matcher = Matcher(0.5, 0.5, best_from=0.5)

    def __init__(
        self,
        backbone: keras.Model,
        num_classes: int = 80,
        neck_width: int = 256,
        head_width: int = 1024,
        anchor_side: float = 8.0,
        masks: bool = True,
        sampled_anchors: int = 256,
        sampled_boxes: int = 512,
        compared_anchors: int = 2000,
        proposals: int = 1000,
        name: str = "mask_rcnn",
        dtype=None,
    ):
        base.check_positive(
            "MaskRCNN",
            num_classes=num_classes,
            neck_width=neck_width,
            head_width=head_width,
            sampled_anchors=sampled_anchors,
            sampled_boxes=sampled_boxes,
            compared_anchors=compared_anchors,
            proposals=proposals,
        )
        if not anchor_side > 0:
            raise ValueError(f"MaskRCNN: `anchor_side` is in cells, above 0; got {anchor_side!r}.")
        policy = self.policy_for(backbone, dtype)
        anchors = Anchors(side=anchor_side, scales=1)
        levels = coarsest_levels(backbone, LEVELS)
        maps = feature_pyramid(pyramid_maps(backbone, LEVELS), neck_width, policy, "glorot_uniform")
        pyramid = dict(zip(levels, maps, strict=True))
        coarser = keras.layers.MaxPooling2D(
            1, 2, data_format="channels_last", dtype=policy, name="neck_output4"
        )
        all_levels = pyramid | {f"P{level_number(levels[-1]) + 1}": coarser(maps[-1])}
        conv = conv_layer(
            neck_width, 3, policy, "proposal_conv", activation="relu", initializer=_small()
        )
        outputs: dict = {"pyramid": pyramid}
        for output, width in (("proposal_logits", 1), ("proposal_deltas", 4)):
            layers = [
                conv,
                conv_layer(
                    anchors.per_cell * width,
                    1,
                    self.logits_policy(policy),
                    output,
                    initializer=_small(),
                ),
            ]
            outputs[output] = {level: apply_layers(layers, x) for level, x in all_levels.items()}
        super().__init__(self.backbone_input(backbone), outputs, name=name)
        self.store_config(
            backbone,
            policy,
            num_classes=num_classes,
            neck_width=neck_width,
            head_width=head_width,
            anchor_side=anchor_side,
            masks=masks,
            sampled_anchors=sampled_anchors,
            sampled_boxes=sampled_boxes,
            compared_anchors=compared_anchors,
            proposals=proposals,
        )
        self.anchors, self.levels, self.masks = anchors, levels, masks
        self.multiple = 2 ** level_number(levels[-1])
        self.sampled_anchors, self.sampled_boxes = sampled_anchors, sampled_boxes
        finest = 2 ** level_number(levels[0])
        shapes = [(None, None, None, neck_width)] * LEVELS
        self.box_head = BoxHead(num_classes, head_width, finest, dtype=policy, name="box_head")
        self.box_head.build(shapes)
        self.mask_head, self.mask_depth = None, 4
        if masks:
            self.mask_head = MaskHead(
                num_classes, neck_width, self.mask_depth, finest, dtype=policy, name="mask_head"
            )
            self.mask_head.build(shapes)
        self.random = keras.random.SeedGenerator(name="sampling")
        self.proposals = Proposals(
            anchors, compared_anchors, proposals, dtype="float32", name="trained_proposals"
        )
        self.track_losses(self.loss_names if masks else self.loss_names[:-1])

    @classmethod
    def from_arrays(cls, arrays, size=None, logits: bool = False) -> "MaskRCNN":
        """An untrained model of the widths of a checkpoint, see `System.from_arrays`."""
        options = arrays.arguments(
            num_classes=arrays.classes(),
            neck_width=len(arrays["neck_lateral0/bias"]),
            head_width=len(arrays["box_head/fc1/bias"]),
            masks=arrays.get("mask_head/logits/bias") is not None,
        )
        return cls(arrays.backbone(*(size or (None, None))), **options)

    @classmethod
    def from_recipe(cls, recipe, num_classes: int) -> tuple["MaskRCNN", PVTBackbone]:
        """A model to train and the backbone in it, see `System.build`."""
        backbone = PVTBackbone.from_recipe(recipe)
        model = cls(
            backbone,
            num_classes,
            recipe.neck_width,
            recipe.head_width,
            masks=recipe.masks,
            sampled_boxes=recipe.sampled_boxes,
            compared_anchors=recipe.compared_anchors,
            proposals=recipe.proposals,
            anchor_side=recipe.anchor_size / finest_stride(backbone, LEVELS),
        )
        return model, backbone

    def detector(
        self,
        suppression: NonMaxSuppression | None = None,
        per_level: int = 1000,
        proposals: int = 1000,
        padded: bool = False,
    ) -> keras.Model:
        """A functional model of the same layers that ends in boxes, and masks.

        Args:
            suppression: of duplicates; by default the official one: scores above 0.05, overlaps
                up to 0.5, 100 boxes, empty ones too.
            per_level: anchors of a level, those with the highest scores, that become proposals.
            proposals: largest number of proposals of an image, over all levels.
            padded: whether images have padding on the right and at the bottom. The model then takes
                {"images": images, "sizes": float `(B, 2)`, (height, width) in pixels of each
                without it}, and clips boxes to the images; otherwise it takes the images alone.
        Returns:
            A model that gives the dictionary of `NonMaxSuppression`, boxes in pixels of the
            images, and "masks" `(B, 100, 28, 28)`, 0 to 1, the probability that a part of the
            box is of the object, zeros after the last box. `paste_masks` turns them into pixels.
        Source:
            mmdetection 2.13. Differs only if more than `suppression.max_candidates` pairs of box
            and class score above 0.05: the official code compares all pairs.
        """
        if suppression is None:
            suppression = NonMaxSuppression(
                "xyxy", from_logits=False, drop_empty=False, dtype="float32", name="suppression"
            )
        inputs, frame = self.input, {"images": self.input}
        if padded:
            sizes = keras.Input((2,), dtype="float32", name="sizes")
            inputs, frame = {"images": self.input, "sizes": sizes}, {"sizes": sizes}
        outputs = self.output
        propose = Proposals(self.anchors, per_level, proposals, dtype="float32", name="proposals")
        boxes, scores = propose(outputs["proposal_logits"], outputs["proposal_deltas"], **frame)
        maps = [outputs["pyramid"][level] for level in self.levels]
        logits, deltas = self.box_head(maps, boxes)
        found = suppression(
            *ClassBoxes(dtype="float32", name="class_boxes")(boxes, scores, logits, deltas, **frame)
        )
        if self.mask_head is not None:
            masks = self.mask_head(maps, found["boxes"], found["classes"], found["num_detections"])
            layer = MaskProbabilities(dtype="float32", name="masks")
            found = found | {"masks": layer(masks, found["classes"])}
        return keras.Model(inputs, found, name=self.name)

    def loss_parts(self, x, y, y_pred):
        boxes, classes, exists = valid_boxes(y["boxes"], y["classes"])
        if self.mask_head is not None and "masks" not in y:
            raise ValueError(
                'MaskRCNN: labels need "masks", (B, G, H, W); `masks=False` makes a model of boxes.'
            )
        sizes = ops.cast(y["sizes"], "float32") if "sizes" in y else None
        parts = self._proposal_losses(boxes, classes, sizes, y_pred)
        frame = {"images": x} if sizes is None else {"sizes": sizes}
        proposals, scores = self.proposals(
            y_pred["proposal_logits"], y_pred["proposal_deltas"], **frame
        )
        matches = ops.map(
            lambda image: self.box_matcher(*image), (proposals, boxes, exists, scores >= 0)
        )
        # True boxes are looked at too: in the beginning, no proposal meets them. They are not
        # matched, else each would be its own best proposal, and no other be given to it for that.
        own = ops.where(exists, ops.arange(0, boxes.shape[1], dtype="int32"), IGNORED)
        candidates = ops.concatenate([boxes, proposals], axis=1)
        matches = ops.concatenate([own, matches], axis=1)
        drawn = sample_boxes(
            matches >= 0,
            matches == BACKGROUND,
            self.sampled_boxes,
            self.sampled_boxes // 4,
            self.random,
        )
        maps = [y_pred["pyramid"][level] for level in self.levels]
        targets = box_targets(drawn, candidates, matches, boxes, classes, self.num_classes)
        logits, deltas = self.box_head(maps, targets.boxes)
        parts += box_losses(logits, deltas, targets)
        if self.mask_head is not None:
            most = self.sampled_boxes // 4
            parts.append(mask_loss(self.mask_head, maps, targets, y["masks"], most))
        return parts

    def _proposal_losses(self, boxes, classes, sizes, y_pred):
        levels = self.anchors.of_maps(y_pred["proposal_logits"])
        anchors = ops.concatenate(list(levels.values()))
        usable = None if sizes is None else within(anchors, sizes, self.multiple)
        targets = assign_targets(anchors, boxes, classes, self.proposal_matcher, usable)
        drawn = sample_boxes(
            targets.positive,
            ops.logical_and(targets.valid, ops.logical_not(targets.positive)),
            self.sampled_anchors,
            self.sampled_anchors // 2,
            self.random,
        )
        logits, deltas = (
            ops.concatenate([per_anchor(x, width) for x in y_pred[output].values()], axis=1)
            for output, width in (("proposal_logits", 1), ("proposal_deltas", 4))
        )
        return proposal_losses(logits, deltas, targets.deltas, drawn)


def _small():
    return Normal(stddev=0.01)
