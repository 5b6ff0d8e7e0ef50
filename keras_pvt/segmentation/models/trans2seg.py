"""Trans2Seg: a transformer encoder, and a decoder in which classes attend to the image."""

import math
from collections.abc import Mapping
from typing import Any

import keras

from keras_pvt import layers
from keras_pvt.layers import base
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.dense_prediction import SegmentationModel
from keras_pvt.models.feature_pyramid import pyramid_maps
from keras_pvt.segmentation.models.prototype_decoder import ClassPrototypes, PrototypeDecoderBlock
from keras_pvt.segmentation.models.prototype_head import PrototypeHead
from keras_pvt.variants import PVTConfig

EPSILON = 1e-5
# Side of the position table, in cells, that upstream's weights have.
TABLE_SIDE = 32


@base.register
class Trans2Seg(SegmentationModel):
    """Trans2Seg on a backbone: a class for each pixel, images of one size.

    A norm and a feed-forward layer run over the cells of the coarsest map, so the image size is
    part of the weights. Process larger images window by window.

    Args:
        backbone: `PVTBackbone`, or a functional model with `pyramid_outputs`, of a static size.
        num_classes: K.
        skip_level: finer map that the head adds before its last convolution, "P2" as released,
            or "P3"; None leaves that convolution out, and predicts at the coarsest map.
        embed_dim: channels of the transformer.
        depth: blocks of its encoder, and of its decoder.
        num_heads: divides `embed_dim`.
        mlp_ratio: hidden over outer width of the feed-forwards.
        head_width: channels of the head.
        class_chunk: classes that the head computes at a time in inference; 0 for all.
        full_size: whether to return logits for each pixel instead of each cell of the head's last
            map.
        name: of the model.
        dtype: policy of all but the backbone; by default the backbone's. The head's last
            step and the logits are float32 at least.
    Call arguments:
        x: what the backbone takes, float images `(B, H, W, channels)`.
    Returns:
        Logits, no softmax: `(B, H, W, K)`, or without `full_size` `(B, h, w, K)`.
    Attributes:
        num_classes: K.
        skip_level: the finer map that the head adds, or None.
        embed_dim: channels of the transformer.
        depth: blocks of its encoder, and of its decoder.
    Raises:
        ValueError: a backbone without pyramid, of an open size, or without `skip_level`; numbers
            out of range.
    Source:
        Trans2Seg, arXiv 2101.08461; xieenze/Trans2Seg, "medium"; PVT, arXiv 2102.12122,
        section 5.5. Their model on PVT was never released. This is the released head; its
        parameters are the paper's, but its GFLOPs are not, see docs/cost.md.
    """

    system = "trans2seg"

    def __init__(
        self,
        backbone: keras.Model,
        num_classes: int = 150,
        skip_level: str | None = "P2",
        embed_dim: int = 256,
        depth: int = 4,
        num_heads: int = 8,
        mlp_ratio: int = 3,
        head_width: int = 64,
        class_chunk: int = 8,
        full_size: bool = True,
        name: str = "trans2seg",
        dtype=None,
    ):
        base.check_positive("Trans2Seg", num_classes=num_classes, embed_dim=embed_dim, depth=depth)
        policy = self.policy_for(backbone, dtype)
        images = self.backbone_input(backbone)
        (coarsest,) = pyramid_maps(backbone, levels=1)
        if None in coarsest.shape[1:3]:
            raise ValueError(
                "Trans2Seg is made for one image size, which is part of its weights: give the "
                "backbone an `input_shape` such as (512, 512, 3), and cut or resize images to "
                f"it; got {tuple(images.shape[1:])}."
            )
        if skip_level is not None and skip_level not in backbone.pyramid_outputs:
            raise ValueError(
                f"`skip_level` must be one of {', '.join(backbone.pyramid_outputs)} or None; got "
                f"{skip_level!r}."
            )

        def own(name):
            return {"dtype": base.inner_policy(policy, name), "name": name}

        x = base.dense(embed_dim, policy, name="transformer_embedding")(coarsest)
        x = layers.PositionEmbedding(TABLE_SIDE, align_corners=True, **own("transformer_position"))(
            x
        )
        x = layers.ClassToken(**own("transformer_class_token"))(x)
        for n in range(depth):
            x = layers.EncoderBlock(
                embed_dim,
                num_heads,
                mlp_ratio,
                epsilon=EPSILON,
                qkv_bias=False,
                **own(f"transformer_encoder{n}"),
            )(x)
        x = base.LastNorm(epsilon=EPSILON, **own("transformer_norm"))(x)[:, 1:]
        height, width = coarsest.shape[1:3]
        features = keras.layers.Reshape((height, width, embed_dim), **own("encoder"))(x)
        prototypes = ClassPrototypes(num_classes, **own("prototypes"))(x)
        query = prototypes
        for n in range(depth):
            block = PrototypeDecoderBlock(
                embed_dim,
                num_heads,
                height * width,
                mlp_ratio,
                EPSILON,
                last=n == depth - 1,
                **own(f"decoder{n}"),
            )
            if block.last:
                attention = block(query, x)
            else:
                query, x = block(query, x)
                query = keras.layers.Add(**own(f"prototypes{n + 1}"))([query, prototypes])
        skip = [] if skip_level is None else [backbone.pyramid_outputs[skip_level]]
        head = PrototypeHead(head_width, class_chunk, **own("prototype_head"))
        x = head(features, attention, *skip)
        head_policy = self.logits_policy(policy)
        x = keras.layers.Activation("linear", dtype=head_policy, name="logits")(x)
        if full_size:
            x = layers.ResizeLike(align_corners=True, dtype=head_policy, name="full_size")(
                x, images
            )
        super().__init__(images, x, name=name)
        self.store_config(
            backbone,
            policy,
            num_classes=num_classes,
            skip_level=skip_level,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            head_width=head_width,
            class_chunk=class_chunk,
            full_size=full_size,
        )
        self.skip_level, self.embed_dim, self.depth = skip_level, embed_dim, depth

    @classmethod
    def from_arrays(
        cls, arrays, size: tuple[int, int] | None = None, logits: bool = False
    ) -> "Trans2Seg":
        """An untrained model of the widths of a checkpoint, see `System.from_arrays`.

        Args:
            arrays: of the checkpoint.
            size: (height, width) in pixels of the images, where they are no square, and the file
                does not tell.
            logits: of no matter; there is no softmax.
        Raises:
            ValueError: a size that the weights are not for, or none where they tell none; weights
                that are missing or of no possible shape.
        """
        *_, dim = arrays["prototypes/table"].shape
        arrays = arrays.assuming(embed_dim=dim)
        config = arrays.config
        size = arrays.sides if size is None or None in size else size
        height, width = _sides(len(arrays["decoder0/norm4/gamma"]), config.strides[-1], size)
        skip = arrays.get("prototype_head/skip/kernel")
        level = None if skip is None else _level(config, skip.shape[2], arrays.known.options)
        options = arrays.arguments(
            num_classes=arrays.classes(),
            skip_level=level,
            embed_dim=dim,
            depth=arrays.count("decoder{n}/norm4/gamma"),
            num_heads=len(arrays["prototype_head/depthwise_maps_norm/gamma"]),
            mlp_ratio=len(arrays["decoder0/query_mlp/fc1/bias"]) // dim,
            head_width=len(arrays["prototype_head/norm2/gamma"]),
        )
        return cls(arrays.backbone(height, width), **options)

    @classmethod
    def from_recipe(cls, recipe, num_classes: int) -> tuple["Trans2Seg", PVTBackbone]:
        """A model to train and the backbone in it, see `System.build`."""
        backbone = PVTBackbone.from_recipe(recipe, input_shape=(*recipe.sides(), 3))
        model = cls(
            backbone,
            num_classes,
            recipe.skip_level or None,
            recipe.neck_width,
            head_width=recipe.head_width,
        )
        return model, backbone


def _sides(cells: int, stride: int, size: tuple[int, int] | None) -> tuple[int, int]:
    """Of the images whose coarsest map has so many cells, in pixels."""
    if size is not None and None not in size:
        if (size[0] // stride) * (size[1] // stride) != cells:
            raise ValueError(
                f"these weights are for images of {cells} cells of {stride} x {stride} pixels; a "
                f"size of {size[0]}x{size[1]} has {size[0] // stride}x{size[1] // stride}."
            )
        return size
    side = math.isqrt(cells)
    if side**2 != cells:
        raise ValueError(
            f"these weights are for images of {cells} cells of {stride} x {stride} pixels, which "
            "is no square: pass their size (--size HEIGHTxWIDTH)."
        )
    return side * stride, side * stride


def _level(config: PVTConfig, width: int, known: Mapping[str, Any]) -> str:
    """The pyramid level of a width; of several, the one that is known."""
    widths = zip(config.levels, config.embed_dims, strict=True)
    levels = [level for level, channels in widths if channels == width]
    if not levels:
        raise ValueError(
            f"the head adds a map of {width} channels, and the backbone's have "
            f"{', '.join(map(str, config.embed_dims))}."
        )
    if len(levels) > 1 and known.get("skip_level") not in levels:
        raise ValueError(
            f"the head adds a map of {width} channels, as {' and '.join(levels)} have: say which "
            f"by --set skip_level={levels[0]}, or `options=` in Python."
        )
    return levels[0] if len(levels) == 1 else known["skip_level"]
