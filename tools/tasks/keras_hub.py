"""The tasks of KerasHub."""

import keras
import numpy as np

import keras_pvt
from tasks.common import (
    BOXES,
    FROM_LOGITS,
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


def retinanet():
    return from_document("docs/detectors.md", "keras_hub.models.RetinaNetObjectDetector(")


def d_fine():
    import keras_hub

    backbone = small_backbone()
    encoder = keras_hub.models.DFineBackbone(
        backbone=keras.Model(backbone.input, backbone.pyramid_outputs),
        out_features=["P3", "P4", "P5"],
        encoder_in_channels=[12, 20, 28],
        decoder_in_channels=[16, 16, 16],
        feat_strides=[8, 16, 32],
        image_shape=SIZE,
        anchor_image_size=SIZE[:2],
        num_labels=3,
        num_queries=10,
        num_denoising=0,
        learn_initial_query=False,
        num_feature_levels=3,
        hidden_dim=16,
        encoder_hidden_dim=16,
        encode_proj_layers=[2],
        num_attention_heads=2,
        encoder_ffn_dim=32,
        num_encoder_layers=1,
        hidden_expansion=0.5,
        depth_multiplier=0.5,
        eval_idx=-1,
        num_decoder_layers=2,
        decoder_attention_heads=2,
        decoder_ffn_dim=32,
        decoder_n_points=[3, 6, 3],
        lqe_hidden_dim=8,
        num_lqe_layers=2,
        seed=0,
    )
    model = keras_hub.models.DFineObjectDetector(
        encoder,
        num_classes=3,
        bounding_box_format="xyxy",
        prediction_decoder=keras_pvt.detection.NonMaxSuppression("xyxy"),
    )
    target = {"boxes": BOXES[:1].repeat(2, 0), "labels": LABELS[:1].repeat(2, 0)}
    return compiled(backbone, model, target)


def classifier():
    import keras_hub

    backbone = small_backbone()
    model = keras_hub.models.ImageClassifier(backbone, num_classes=3)
    return compiled(backbone, model, np.array([0, 2]))


def deeplab():
    import keras_hub

    backbone = small_backbone()
    encoder = keras_hub.models.DeepLabV3Backbone(
        backbone,
        low_level_feature_key="P2",
        spatial_pyramid_pooling_key="P5",
        upsampling_size=8,
        dilation_rates=[2, 3],
        image_shape=SIZE,
    )
    model = keras_hub.models.DeepLabV3ImageSegmenter(encoder, num_classes=3)
    return compiled(backbone, model, MASKS, loss=FROM_LOGITS)


def segformer():
    import keras_hub

    from keras_pvt.hub import PVTSegFormerEncoder

    backbone = small_backbone(PVTSegFormerEncoder)
    encoder = keras_hub.models.SegFormerBackbone(image_encoder=backbone, projection_filters=16)
    model = keras_hub.models.SegFormerImageSegmenter(encoder, num_classes=3)
    return compiled(backbone, model, MASKS, loss=FROM_LOGITS)


def backbone_around(name: str, **options):
    """A backbone of KerasHub that takes another as its image encoder."""
    import keras_hub

    from keras_pvt.hub import PVTHubBackbone

    encoder = small_backbone(PVTHubBackbone, (None, None, 3))
    return getattr(keras_hub.models, name)(image_encoder=encoder, **options)


def basnet():
    return backbone_around("BASNetBackbone", num_classes=1, image_shape=SIZE)


def depth_anything():
    return backbone_around(
        "DepthAnythingBackbone",
        reassemble_factors=[4, 2, 1, 0.5],
        neck_hidden_dims=[4, 8, 16, 16],
        fusion_hidden_dim=16,
        head_hidden_dim=8,
        head_in_index=-1,
    )


TASKS = [
    Task("keras_hub", "RetinaNetObjectDetector", retinanet, f"code above; {MULTIPLES}"),
    Task(
        "keras_hub",
        "DFineObjectDetector",
        d_fine,
        "`backbone=keras.Model(backbone.input, backbone.pyramid_outputs)`",
        slow=("jax",),
    ),
    Task("keras_hub", "ImageClassifier", classifier, "any size"),
    Task("keras_hub", "DeepLabV3ImageSegmenter", deeplab, MULTIPLES),
    Task(
        "keras_hub",
        "SegFormerImageSegmenter",
        segformer,
        "`keras_pvt.hub.PVTSegFormerEncoder`; `input_shape` without None",
    ),
    Task(
        "keras_hub",
        "BASNetImageSegmenter",
        basnet,
        fails=everywhere("build", "stackwise_num_blocks", RESNET),
    ),
    Task(
        "keras_hub",
        "DepthAnythingDepthEstimator",
        depth_anything,
        fails=everywhere("build", "must be a `DINOV2Backbone`", "wants DINOv2"),
    ),
]
# Classes that take an image encoder, and are not for PVT.
OTHERS = {
    "PARSeqBackbone": "wants the tokens of a ViT",
    "SAMBackbone": "wants the map of a ViTDet, and cannot be trained",
}
