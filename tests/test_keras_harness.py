"""The tests that Keras has for layers and KerasHub for backbones, of their own making."""

import warnings

import keras
import pytest
from conftest import SHALLOW

from keras_pvt import layers
from keras_pvt.detection import NonMaxSuppression
from keras_pvt.detection.models import detr, roi_heads, sine_positions, transformer
from keras_pvt.detection.ops import anchors, masks, proposals, pyramid_decoder
from keras_pvt.detection.serving import AnchoredBoxes
from keras_pvt.exporting.argmax import Argmax
from keras_pvt.layers import base
from keras_pvt.segmentation.models import prototype_decoder, prototype_head

pytestmark = pytest.mark.full("what other tests of layers have, by other hands")

# A layer, what it is made with, and the shapes of its input: a pair of them where `build` and
# `call` name them alike. None where Keras's test cannot call it: it takes several inputs, or a nest
# of them, by other names than `build`, or has no gradient. It is made from its configuration then.
MAP, TOKENS = (2, 9, 13, 12), (2, 11, 12)
CELL = anchors.Anchors(side=4.0, scales=1)
CASES = [
    (layers.PatchEmbedding, {"dim": 6, "patch_size": 4}, (2, 18, 27, 5)),
    (layers.PositionEmbedding, {"grid_size": (4, 7)}, MAP),
    (layers.ClassToken, {}, MAP),
    (layers.TakeClassToken, {}, TOKENS),
    (layers.SpatialReductionAttention, {"dim": 12, "num_heads": 3, "sr_ratio": 2}, MAP),
    (layers.FeedForward, {"dim": 5, "hidden_dim": 14, "drop_rate": 0.1}, MAP),
    (layers.DropPath, {"rate": 0.3}, MAP),
    (
        layers.EncoderBlock,
        {"dim": 12, "num_heads": 3, "mlp_ratio": 2, "sr_ratio": 2, "drop_path_rate": 0.1},
        MAP,
    ),
    (layers.OverlapPatchEmbedding, {"dim": 6, "patch_size": 5, "stride": 2}, (2, 4, 7, 5)),
    (layers.LinearSpatialReductionAttention, {"dim": 12, "num_heads": 3}, MAP),
    (layers.ConvFeedForward, {"dim": 5, "hidden_dim": 14, "drop_rate": 0.1}, MAP),
    (layers.Upsample, {"factor": 3}, MAP),
    (layers.ResizeLike, {}, None),
    (base.LastNorm, {"epsilon": 1e-5}, TOKENS),
    (prototype_decoder.ClassPrototypes, {"num_classes": 3}, TOKENS),
    (
        prototype_decoder.PrototypeDecoderBlock,
        {"dim": 12, "num_heads": 3, "cells": 11},
        {"query_shape": (2, 4, 12), "features_shape": TOKENS},
    ),
    (
        prototype_head.PrototypeHead,
        {"width": 8},
        {"features_shape": (2, 3, 4, 6), "attention_shape": (2, 5, 2, 12)},
    ),
    (transformer.ObjectQueries, {"count": 5}, TOKENS),
    (transformer.CrossAttention, {"dim": 12, "num_heads": 3}, None),
    (transformer.DETREncoderLayer, {"dim": 12, "num_heads": 3, "hidden_dim": 14}, None),
    (transformer.DETRDecoderLayer, {"dim": 12, "num_heads": 3, "hidden_dim": 14}, None),
    (sine_positions.SinePositions, {"dim": 12}, MAP),
    (sine_positions.VisibleCells, {}, None),
    (roi_heads.BoxHead, {"num_classes": 3, "width": 8}, None),
    (roi_heads.MaskHead, {"num_classes": 3, "width": 8, "depth": 2}, None),
    (roi_heads.ClassBoxes, {}, None),
    (masks.MaskProbabilities, {}, None),
    (proposals.Proposals, {"anchors": CELL, "count": 10}, None),
    (pyramid_decoder.PyramidDecoder, {"num_classes": 3, "anchors": CELL}, None),
    (detr.DETRPostprocessor, {}, None),
    (NonMaxSuppression, {"bounding_box_format": "xyxy"}, None),
    (AnchoredBoxes, {"count": 7}, (2, 7, 4)),
    (Argmax, {}, None),
]

WITHOUT_WEIGHTS = {
    layers.TakeClassToken,
    layers.DropPath,
    layers.Upsample,
    sine_positions.SinePositions,
    AnchoredBoxes,
}


def harness(test_case):
    """Methods of a class of tests, without its runner."""
    case = test_case()
    case.setUp()
    return case


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")  # by Keras's test, to its generator
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].__name__)
def test_run_layer_test(case):
    from keras.src.testing import TestCase

    layer, arguments, shape = case
    learns = layer not in WITHOUT_WEIGHTS and not isinstance(shape, dict)
    harness(TestCase).run_layer_test(
        layer,
        arguments,
        input_shape=shape,
        run_training_check=learns,
        run_mixed_precision_check=layer is not AnchoredBoxes,
    )


def test_anchored_boxes_are_float32_under_any_policy():
    layer = AnchoredBoxes(7, dtype="mixed_float16")
    boxes = layer(keras.ops.ones((2, 7, 4)))
    assert keras.backend.standardize_dtype(boxes.dtype) == "float32"


def test_every_layer_has_a_case():
    import keras_pvt.hub  # noqa: F401, whose layers KerasHub tests by a preset

    registered = {
        thing
        for name, thing in keras.saving.get_custom_objects().items()
        if name.startswith("keras_pvt>")
        and issubclass(thing, keras.layers.Layer)
        and not issubclass(thing, keras.Model)
        and thing.__module__ != "keras_pvt.hub.members"
    }
    assert registered == {layer for layer, *_ in CASES}


@pytest.fixture
def hub_case():
    """KerasHub's tests; they need Grain too."""
    pytest.importorskip("grain")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what they import and call: no code of ours
        from keras_hub.src.tests.test_case import TestCase

        yield harness(TestCase)


def hub_arguments():
    return {"variant": SHALLOW, "input_shape": (64, 96, 3)}


@pytest.mark.parametrize("name", ["PVTHubBackbone", "PVTSegFormerEncoder"])
def test_run_vision_backbone_test(name, hub_case):
    from keras_pvt import hub

    levels = range(2, 6) if name == "PVTHubBackbone" else range(1, 5)
    hub_case.run_vision_backbone_test(
        cls=getattr(hub, name),
        init_kwargs=hub_arguments(),
        input_data=keras.ops.ones((2, 64, 96, 3)),
        expected_output_shape=(2, 2, 3, SHALLOW.embed_dims[-1]),
        expected_pyramid_output_keys=[f"P{level}" for level in levels],
        expected_pyramid_image_sizes=[(16, 24), (8, 12), (4, 6), (2, 3)],
        run_data_format_check=False,  # channels first is refused
    )


def test_run_model_saving_test(hub_case):
    from keras_pvt import hub

    hub_case.run_model_saving_test(
        cls=hub.PVTHubBackbone,
        init_kwargs=hub_arguments(),
        input_data=keras.ops.ones((2, 64, 96, 3)),
    )


def test_run_litert_export_test(hub_case):
    """On PyTorch, where litert-torch is installed; KerasHub has it skipped elsewhere.

    It is none of our extras: 0.10 wants a typing_extensions that is too old for other packages.
    """
    from keras_pvt import hub

    hub_case.run_litert_export_test(
        cls=hub.PVTHubBackbone,
        init_kwargs=hub_arguments(),
        input_data=keras.ops.ones((2, 64, 96, 3)),
    )
