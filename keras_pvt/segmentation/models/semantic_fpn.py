"""Semantic FPN: a feature pyramid whose levels are resized to one size and summed."""

import keras

from keras_pvt.layers import ResizeLike, Upsample, base
from keras_pvt.layers.initial_values import Normal
from keras_pvt.models.backbone import PVTBackbone
from keras_pvt.models.convolution import conv, conv_norm_relu
from keras_pvt.models.dense_prediction import SegmentationModel
from keras_pvt.models.feature_pyramid import feature_pyramid, pyramid_maps


@base.register
class SemanticFPN(SegmentationModel):
    """Semantic FPN on any backbone: a class for each pixel, images of any size.

    Args:
        backbone: `PVTBackbone`, or a functional model with `pyramid_outputs`, as KerasHub's.
            Its four coarsest levels are used; its layers become layers of this model.
        num_classes: K.
        neck_width: channels of the feature pyramid.
        head_width: channels of the head.
        drop_rate: probability of dropping a channel before the last convolution, in training.
        full_size: whether to return logits for each pixel of the image, as training and evaluation
            need them. Otherwise there are logits for each cell of the finest map, a sixteenth of
            the numbers.
        name: of the model.
        dtype: policy of neck and head; by default the backbone's. Logits are float32 at least.
    Call arguments:
        x: what the backbone takes, float images `(B, H, W, channels)`.
    Returns:
        Logits, no softmax: `(B, H, W, K)`, or `(B, H / 4, W / 4, K)`.
    Attributes:
        num_classes: K.
    Raises:
        ValueError: a backbone without pyramid; numbers out of range.
    Source:
        Panoptic Feature Pyramid Networks, arXiv 1901.02446, section 3.1; PVT, arXiv 2102.12122,
        section 5.3; mmsegmentation 0.13 mmseg/models/decode_heads/fpn_head.py with
        whai362/PVT segmentation/configs/sem_fpn/PVT.
    """

    system = "semantic_fpn"

    def __init__(
        self,
        backbone: keras.Model,
        num_classes: int = 150,
        neck_width: int = 256,
        head_width: int = 128,
        drop_rate: float = 0.1,
        full_size: bool = True,
        name: str = "semantic_fpn",
        dtype=None,
    ):
        base.check_positive(
            "SemanticFPN", num_classes=num_classes, neck_width=neck_width, head_width=head_width
        )
        base.check_rate("SemanticFPN", drop_rate=drop_rate)
        policy = self.policy_for(backbone, dtype)
        images = self.backbone_input(backbone)
        maps = feature_pyramid(pyramid_maps(backbone), neck_width, policy)
        x = _head(maps, head_width, policy)
        if drop_rate:
            x = keras.layers.SpatialDropout2D(
                drop_rate, data_format="channels_last", dtype=policy, name="head_drop"
            )(x)
        head_policy = self.logits_policy(policy)
        x = conv(x, num_classes, 1, head_policy, "logits", initializer=Normal(stddev=0.01))
        if full_size:
            x = ResizeLike(dtype=head_policy, name="full_size")(x, images)
        super().__init__(images, x, name=name)
        self.store_config(
            backbone,
            policy,
            num_classes=num_classes,
            neck_width=neck_width,
            head_width=head_width,
            drop_rate=drop_rate,
            full_size=full_size,
        )

    @classmethod
    def from_arrays(cls, arrays, size=None, logits: bool = False) -> "SemanticFPN":
        """An untrained model of the widths of a checkpoint, see `System.from_arrays`."""
        options = arrays.arguments(
            num_classes=arrays.classes(),
            neck_width=len(arrays["neck_lateral0/bias"]),
            head_width=len(arrays["head0_conv0_norm/gamma"]),
        )
        return cls(arrays.backbone(*(size or (None, None))), **options)

    @classmethod
    def from_recipe(cls, recipe, num_classes: int) -> tuple["SemanticFPN", PVTBackbone]:
        """A model to train and the backbone in it, see `System.build`."""
        backbone = PVTBackbone.from_recipe(recipe)
        model = cls(backbone, num_classes, recipe.neck_width, recipe.head_width, recipe.head_drop)
        return model, backbone


def _head(maps: list, width: int, dtype):
    """A branch for each map: a convolution, and as many more as it has to double to be as large
    as the finest; their sum."""
    branches: list = []
    for n, x in enumerate(maps):
        for step in range(max(1, n)):
            x = conv_norm_relu(x, width, 3, dtype, f"head{n}_conv{step}")
            if n:
                x = Upsample(dtype=dtype, name=f"head{n}_upsample{step}")(x)
        if n:  # sides that a stage floored are some cells short
            x = ResizeLike(dtype=dtype, name=f"head{n}_resize")(x, branches[0])
        branches.append(x)
    return keras.layers.Add(dtype=dtype, name="head_sum")(branches)
