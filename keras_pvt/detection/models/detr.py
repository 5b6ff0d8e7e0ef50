"""DETR: detection by a transformer, without anchors and without suppression."""

import keras
from keras import ops

from keras_pvt.detection.losses.hungarian import FORMAT, HungarianLosses, hungarian_losses
from keras_pvt.detection.models.base import DetectionModel
from keras_pvt.detection.models.sine_positions import SinePositions, VisibleCells
from keras_pvt.detection.models.transformer import (
    EPSILON,
    DETRDecoderLayer,
    DETREncoderLayer,
    ObjectQueries,
)
from keras_pvt.detection.ops import boxes as box_ops
from keras_pvt.detection.ops.nms import at_least_float32
from keras_pvt.layers import base
from keras_pvt.layers.initial_values import FanInUniform
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.feature_pyramid import pyramid_maps
from keras_pvt.ops import COMPILES_HOST_CALLS, argmax, take_rows


@base.register_as("BestQueries")
class DETRPostprocessor(keras.layers.Layer):
    """Turns the outputs of DETR into detections: the queries with the highest scores.

    No suppression follows, because each object has one query.

    Args:
        confidence_threshold: probability that a detection has to exceed, 0 to 1.
        max_detections: largest number of detections of an image; with fewer queries, their number.
    Call arguments:
        outputs: outputs of a `DETR`; the last layer is used.
        sizes: `(B, 2)`, (height, width) of each image without padding, in the pixels in which boxes
            are wanted, such as those of the image before it was resized.
        images: instead of `sizes`, the images `(B, H, W, channels)`, which have no padding.
    Returns:
        A dictionary: "boxes" "xyxy" `(B, N, 4)`, in pixels and inside
        the image; "confidence" `(B, N)`, 0 to 1, falling; "classes" and "labels" `(B, N)` int32;
        "num_detections" `(B,)` int32. After the detections come boxes of zeros, of class -1 and
        confidence 0.
    Raises:
        ValueError: a threshold outside 0 to 1; `max_detections` below 1.
    Source:
        mmdetection 2.13 mmdet/models/dense_heads/detr_head.py, `_get_bboxes_single`.
    """

    def __init__(self, confidence_threshold: float = 0.0, max_detections: int = 100, **kwargs):
        super().__init__(autocast=False, **kwargs)
        owner = type(self).__name__
        base.check_positive(owner, max_detections=max_detections)
        if not 0 <= confidence_threshold <= 1:
            raise ValueError(
                f"{owner}: `confidence_threshold` must be from 0 to 1; got "
                f"{confidence_threshold!r}."
            )
        self.confidence_threshold = confidence_threshold
        self.max_detections = max_detections
        self.built = True

    def call(self, outputs, sizes=None, images=None):
        logits, boxes = (at_least_float32(outputs[key][:, -1]) for key in ("class_logits", "boxes"))
        scores = ops.softmax(logits, axis=-1)[..., :-1]
        best = ops.max(scores, axis=-1)
        best = ops.where(best > self.confidence_threshold, best, -1.0)  # false for NaN, too
        confidence, index = ops.top_k(best, min(self.max_detections, best.shape[1]))
        found = confidence >= 0
        labels = take_rows(argmax(scores), index)
        labels = ops.where(found, labels, -1)
        if images is not None:
            sides = ops.shape(images)[1:3]
        else:
            sizes = ops.cast(sizes, boxes.dtype)
            sides = sizes[:, :1], sizes[:, 1:]
        boxes = box_ops.convert(take_rows(boxes, index), FORMAT, "xyxy", sides)
        return {
            "boxes": ops.where(found[..., None], box_ops.clip(boxes, sides), 0.0),
            "confidence": ops.where(found, confidence, 0.0),
            "classes": labels,
            "labels": labels,
            "num_detections": ops.sum(ops.cast(found, "int32"), axis=-1),
        }

    def get_config(self):
        return {
            **super().get_config(),
            "confidence_threshold": self.confidence_threshold,
            "max_detections": self.max_detections,
        }


@base.register
class DETR(DetectionModel):
    """DETR on a backbone's coarsest map: a class and a box for each of a fixed number of queries.

    The model computes its own losses: call `model.compile(optimizer)` without a loss, then
    `model.fit(x, {"boxes": ..., "classes": ...})`. `detector` returns the model that ends in boxes.

    Args:
        backbone: `PVTBackbone`, or a functional model with `pyramid_outputs`. If its input has
            another name than "images", Keras warns, but the model works.
        num_classes: K. A checkpoint of facebookresearch/detr or Hugging Face for COCO has 91,
            as its classes are COCO's own ids; one of mmdetection 80.
        num_queries: Q, the largest number of objects that it can find in an image.
        embed_dim: channels of the transformer; divisible by 4.
        depth: layers L of its encoder, and of its decoder.
        num_heads: divides `embed_dim`.
        hidden_dim: channels inside the feed-forwards.
        drop_rate: probability of dropping an attention weight, and a feature after each
            attention and in each feed-forward.
        auxiliary: whether each layer of the decoder predicts, as the loss needs. Otherwise only the
            last one does, and L is 1 in the result.
        padded: whether images of a batch may have padding. The model then takes their sizes.
        name: of the model.
        dtype: policy of all but the backbone; by default the backbone's. The heads compute in
            float32 at least.
    Call arguments:
        x: {"images": what the backbone takes, float `(B, H, W, channels)`, each image in the
            top left corner; "sizes": int `(B, 2)`, (height, width) in pixels of each without
            its padding}. With `padded=False` the images alone.
    Returns:
        A dictionary with the predictions of each layer of the decoder; the last layer's are the
        model's result:
        "class_logits" `(B, L, Q, K + 1)`, without softmax; the last class is "no object";
        "boxes" `(B, L, Q, 4)`, "rel_center_xywh", 0 to 1: fractions of the image without its
        padding. All queries are included, in their own order.
    Labels to train on:
        A dictionary: "boxes" `(B, G, 4)`, "xyxy" in pixels of the images; "classes" `(B, G)`,
        0 to K - 1, or -1 for padding. The logs have `class_loss`, `box_loss` and `giou_loss`;
        the loss is their sum. Training needs SciPy.
    Attributes:
        num_classes: K.
        depth: L.
        auxiliary: whether each layer of the decoder predicts.
        padded: whether the model takes the sizes of the images.
    Raises:
        ValueError: a backbone without pyramid; numbers out of range.
    Source:
        DETR, arXiv 2005.12872; PVT, arXiv 2102.12122, section 5.3; mmdetection 2.13
        mmdet/models/dense_heads/detr_head.py.
    """

    system = "detr"
    loss_names = ("class_loss", "box_loss", "giou_loss")

    def __init__(
        self,
        backbone: keras.Model,
        num_classes: int = 80,
        num_queries: int = 100,
        embed_dim: int = 256,
        depth: int = 6,
        num_heads: int = 8,
        hidden_dim: int = 2048,
        drop_rate: float = 0.1,
        auxiliary: bool = True,
        padded: bool = True,
        name: str = "detr",
        dtype=None,
    ):
        base.check_positive("DETR", num_classes=num_classes, embed_dim=embed_dim, depth=depth)
        policy = self.policy_for(backbone, dtype)
        images = self.backbone_input(backbone)
        (coarsest,) = pyramid_maps(backbone, levels=1)
        sizes = keras.Input((2,), dtype="int32", name="sizes") if padded else None

        def own(name):
            return {"dtype": base.inner_policy(policy, name), "name": name}

        x = keras.layers.Conv2D(
            embed_dim,
            1,
            data_format="channels_last",
            kernel_initializer=FanInUniform(),
            bias_initializer=_within(coarsest.shape[-1]),
            **own("input_projection"),
        )(coarsest)
        visible = VisibleCells(**own("visible"))(x, images, sizes) if padded else None
        positions = SinePositions(embed_dim, **own("positions"))(x, visible)
        cells = keras.layers.Reshape((-1, embed_dim), **own("cells"))(x)
        options = (embed_dim, num_heads, hidden_dim, drop_rate)
        for n in range(depth):
            layer = DETREncoderLayer(*options, **own(f"encoder{n}"))
            cells = layer(cells, positions, visible)
        queries = ObjectQueries(num_queries, **own("queries"))(cells)
        x, found = ops.zeros_like(queries), []
        for n in range(depth):
            layer = DETRDecoderLayer(*options, **own(f"decoder{n}"))
            x = layer(x, queries, cells, positions, visible)
            found.append(x)
        x = ops.stack(found if auxiliary else found[-1:], axis=1)  # (B, L, Q, C)
        x = base.LastNorm(epsilon=EPSILON, **own("decoder_norm"))(x)
        head_policy = self.logits_policy(policy)
        outputs = {
            "class_logits": _dense(num_classes + 1, embed_dim, head_policy, "class_logits")(x),
            "boxes": _boxes(x, embed_dim, head_policy),
        }
        inputs = {"images": images, "sizes": sizes} if padded else images
        super().__init__(inputs, outputs, name=name)
        self.store_config(
            backbone,
            policy,
            num_classes=num_classes,
            num_queries=num_queries,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            hidden_dim=hidden_dim,
            drop_rate=drop_rate,
            auxiliary=auxiliary,
            padded=padded,
        )
        self.depth, self.auxiliary, self.padded = depth, auxiliary, padded
        # Graphs only: XLA cannot compile what SciPy computes.
        self.supports_jit = COMPILES_HOST_CALLS
        self.track_losses()

    @classmethod
    def from_arrays(cls, arrays, size=None, logits: bool = False) -> "DETR":
        """An untrained model of the widths of a checkpoint, see `System.from_arrays`."""
        queries, dim = arrays["queries/table"].shape
        options = arrays.arguments(
            num_classes=arrays.classes(),
            num_queries=queries,
            embed_dim=dim,
            depth=arrays.count("decoder{n}/norm3/gamma"),
            hidden_dim=len(arrays["encoder0/fc1/bias"]),
        )
        return cls(arrays.backbone(*(size or (None, None))), **options)

    @classmethod
    def from_recipe(cls, recipe, num_classes: int) -> tuple["DETR", PVTBackbone]:
        """A model to train and the backbone in it, see `System.build`."""
        backbone = PVTBackbone.from_recipe(recipe, name="images")  # as the model calls its input
        model = cls(
            backbone,
            num_classes,
            recipe.num_queries,
            recipe.neck_width,
            depth=recipe.depth,
            drop_rate=recipe.head_drop,
        )
        return model, backbone

    def detector(self, decoder: DETRPostprocessor | None = None) -> keras.Model:
        """A functional model of the same layers and input that ends in boxes.

        Args:
            decoder: turns the predictions into detections; by default it takes the 100 queries with
                the highest scores, however low.
        Returns:
            A model that returns the dictionary of `DETRPostprocessor`, boxes in pixels of the
            images.
        """
        if decoder is None:
            decoder = DETRPostprocessor(dtype="float32", name="best_queries")
        frame = {"sizes": self.input["sizes"]} if self.padded else {"images": self.input}
        return keras.Model(self.input, decoder(self.output, **frame), name=self.name)

    def image_maps(self) -> dict[str, keras.KerasTensor]:
        """None: what follows the backbone takes the model's own inputs too.

        Keras makes no second model of them without changing the first, which cannot be saved then.

        Returns:
            An empty dictionary.
        """
        return {}

    def padded_detector(self) -> keras.Model:
        """A model that ends in boxes, of images that have padding.

        Returns:
            What `detector` returns.
        Raises:
            ValueError: the model was built with `padded=False`.
        """
        if not self.padded:
            raise ValueError("DETR: images with padding need a model that has `padded=True`.")
        return self.detector()

    def hungarian_losses(self, x, y, y_pred) -> HungarianLosses:
        """The losses of each layer of the decoder, with their weights.

        Args:
            x: what the model takes.
            y: labels: a dictionary of "boxes" and "classes", which the class describes.
            y_pred: what the model gives.
        Returns:
            Losses of the classes, of the boxes and of their overlap, each `(L,)`.
        """
        if self.padded:
            sizes = ops.cast(x["sizes"], "float32")
            sides = sizes[:, :1], sizes[:, 1:]
        else:
            sides = ops.shape(x)[1:3]
        boxes = ops.cast(y["boxes"], "float32")
        boxes = box_ops.convert(boxes, "xyxy", FORMAT, sides)
        return hungarian_losses(y_pred["class_logits"], y_pred["boxes"], y["classes"], boxes)

    def loss_parts(self, x, y, y_pred):
        return [ops.sum(loss) for loss in self.hungarian_losses(x, y, y_pred)]


def _boxes(x, width: int, dtype):
    for n in (1, 2):
        x = keras.layers.ReLU(dtype=dtype, name=f"box_relu{n}")(
            _dense(width, width, dtype, f"box_fc{n}")(x)
        )
    x = _dense(4, width, dtype, "box_logits")(x)
    return keras.layers.Activation("sigmoid", dtype=dtype, name="boxes")(x)


def _dense(width: int, inputs: int, dtype, name: str) -> keras.layers.Dense:
    """Dense layer with torch's initial values, as upstream's heads have them."""
    return keras.layers.Dense(
        width,
        kernel_initializer=FanInUniform(),
        bias_initializer=_within(inputs),
        dtype=base.inner_policy(dtype, name),
        name=name,
    )


def _within(inputs: int) -> keras.initializers.Initializer:
    """torch's initial values of a bias, by the layer's number of inputs."""
    return keras.initializers.RandomUniform(-(inputs**-0.5), inputs**-0.5)
