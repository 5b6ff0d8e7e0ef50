"""Parameters and GFLOPs of whole systems: figures of the official code and of the paper's tables.

The former were counted on models that the official configurations build.
"""

import dataclasses

import keras
import pytest
from conftest import TINY

import keras_pvt
from keras_pvt import flops
from keras_pvt.systems import SYSTEMS
from keras_pvt.variants import VARIANTS

pytestmark = pytest.mark.one_backend("counts from configurations")

PAPER = ("pvt_tiny", "pvt_small", "pvt_medium", "pvt_large")
SMALL = VARIANTS["pvt_small"]


def rows(*columns):
    return list(zip(PAPER, *columns, strict=True))


@pytest.mark.parametrize(
    ("variant", "parameters", "paper", "with_norms"),
    rows(
        (16_981_398, 28_237_974, 47_960_214, 65_121_430),
        (33.2, 44.5, 61.0, 79.6),
        (33.24, 44.54, 61.04, 79.63),
    ),
)
def test_semantic_fpn_at_512(variant, parameters, paper, with_norms):
    cost = flops.total(flops.semantic_fpn(VARIANTS[variant], 512, 512))
    assert cost.parameters == parameters
    assert cost.gflops == pytest.approx(paper, abs=0.05)
    assert cost.gflops_with_norms == pytest.approx(with_norms, abs=5e-3)
    assert cost.batch_norms / 1e9 == pytest.approx(0.008, abs=5e-4)


@pytest.mark.parametrize(
    ("variant", "parameters", "gflops"),
    rows((22_964_724, 34_221_300, 53_943_540, 71_104_756), (221.1, 285.8, 373.0, 474.9)),
)
def test_retinanet_at_800x1280(variant, parameters, gflops):
    cost = flops.total(flops.retinanet(VARIANTS[variant], 800, 1280))
    assert cost.parameters == parameters
    assert cost.gflops == pytest.approx(gflops, abs=0.05)


def test_retinanet_of_small_at_other_sizes_and_with_norms():
    assert flops.total(flops.retinanet(SMALL, 640, 960)).gflops == pytest.approx(157.2, abs=0.05)
    with_norms = flops.total(flops.retinanet(SMALL, 800, 1280)).gflops_with_norms
    assert with_norms == pytest.approx(285.9, abs=0.05)


@pytest.mark.parametrize(
    ("variant", "parameters", "gflops"),
    rows((32_882_160, 44_138_736, 63_860_976, 81_022_192), (239.7, 304.4, 391.6, 493.5)),
)
def test_mask_rcnn_at_800x1280(variant, parameters, gflops):
    cost = flops.total(flops.mask_rcnn(VARIANTS[variant], 800, 1280))
    assert cost.parameters == parameters
    assert cost.gflops == pytest.approx(gflops, abs=0.05)


@pytest.mark.parametrize(
    ("skip_level", "parameters", "layer_parameters", "gflops"),
    [
        ("P2", 32_859_673, 32.130, (35.88, 39.77, 40.36)),
        ("P3", 32_863_769, 32.135, (26.65, 30.54, 30.89)),
        (None, 32_850_521, 32.121, (23.54, 27.43, 27.71)),
    ],
)
def test_trans2seg_of_small_at_512(skip_level, parameters, layer_parameters, gflops):
    parts = flops.trans2seg(SMALL, 512, 512, skip_level=skip_level)
    cost = flops.total(parts)
    assert cost.parameters == parameters
    assert cost.layer_parameters / 1e6 == pytest.approx(layer_parameters, abs=5e-4)
    # With P3 the official count is up to 0.009 above the arithmetic, for no known reason.
    tolerance = 0.01 if skip_level == "P3" else 5e-3
    assert flops.trans2seg_gflops(parts) == pytest.approx(gflops, abs=tolerance)


def test_trans2seg_grows_with_classes_and_cells():
    """A class is a row of a table; a cell, a channel of MLP3 and its norm in each of 4 blocks."""
    few, many = (
        flops.total(flops.trans2seg(SMALL, 512, 512, classes=classes)) for classes in (12, 150)
    )
    assert many.parameters - few.parameters == 138 * 256
    less, more = (flops.total(flops.trans2seg(SMALL, 64, width)) for width in (64, 96))
    n, m = 4, 6
    assert more.parameters - less.parameters == 4 * (6 * (m * m - n * n) + (4 + 2) * (m - n))


def test_trans2seg_names_the_levels():
    with pytest.raises(ValueError, match="P2, P3, P4, P5 or None; got 'P6'"):
        flops.trans2seg(SMALL, 512, 512, skip_level="P6")


@pytest.mark.parametrize(
    ("side", "resnet50", "layers", "attention", "small", "vit_32", "vit_16"),
    [
        (224, 4.1, 3.7, 0.1, 3.8, 2.5, 9.9),
        (384, 12.0, 10.8, 1.2, 12.0, 7.4, 31.6),
        (512, 21.4, 19.1, 3.9, 23.0, 13.5, 61.9),
        (640, 33.4, 29.9, 9.5, 39.4, 21.8, 107.9),
        (800, 52.1, 46.7, 23.2, 69.9, 35.8, 196.3),
        (1024, 85.4, 76.6, 62.3, 138.8, 63.7, 401.9),
    ],
)
def test_input_scale(side, resnet50, layers, attention, small, vit_32, vit_16):
    ours = flops.total(flops.classifier(SMALL, side, side))
    rivals = [
        flops.total(parts).multiply_adds
        for parts in (
            flops.resnet50(side, side),
            flops.vit_small(side, side, patch=32),
            flops.vit_small(side, side, patch=16),
        )
    ]
    counted = [ours.layers, ours.attention, ours.multiply_adds, *rivals]
    expected = [layers, attention, small, resnet50, vit_32, vit_16]
    assert [count / 1e9 for count in counted] == pytest.approx(expected, abs=0.0501)


def test_rivals_at_224():
    """torchvision's and timm's own counts of parameters."""
    resnet = flops.total(flops.resnet50(224, 224))
    assert resnet.parameters == 25_557_032
    assert resnet.multiply_adds / 1e9 == pytest.approx(4.089, abs=5e-4)
    vit = flops.total(flops.vit_small(224, 224))
    assert vit.parameters == 48_754_408
    assert vit.gflops == pytest.approx(9.884, abs=5e-4)


def test_wider_is_dearer_than_deeper():
    wide = dataclasses.replace(SMALL, embed_dims=(89, 178, 445, 712))
    cost = flops.total(flops.classifier(wide, 224, 224))
    assert cost.parameters == 46_821_764
    assert cost.gflops == pytest.approx(7.30, abs=5e-3)
    assert flops.total(flops.classifier(VARIANTS["pvt_medium"], 224, 224)).gflops < cost.gflops


@pytest.mark.parametrize("name", SYSTEMS)
def test_parameters_are_those_of_the_model(name):
    """But for the class token's row, which what is built on `PVTBackbone` lacks."""
    system, config = SYSTEMS[name], VARIANTS["pvt_nano"]
    cost = flops.total(system.load("cost")(config, 64, 96))
    if system.names:
        model = system.load("model")(keras_pvt.PVTBackbone("pvt_nano", (64, 96, 3)))
        unused = config.embed_dims[-1]
    else:
        model, unused = system.load("model")("pvt_nano"), 0
    learnt = sum(
        int(keras.ops.size(weight))
        for weight in model.weights
        if "moving_" not in weight.path and "seed_generator" not in weight.path
    )
    assert cost.parameters == learnt + unused


def test_detr_at_800x1280():
    """Outputs, and attention by hand."""
    parts = flops.detr(SMALL, 800, 1280, classes=91)
    by_name = {part.name: part for part in parts}
    assert by_name["encoder"].output == (25, 40, 256)
    assert by_name["class head"].output == (100, 92)
    cells, queries = 1000, 100
    products = cells * cells + queries * queries + queries * cells
    ours = sum(part.cost.attention for part in parts[4:])
    assert ours == 6 * 2 * 256 * products


def test_outputs_where_halving_rounds():
    shapes = {part.name: part.output for part in flops.retinanet(SMALL, 608, 1088, classes=5)}
    assert shapes["neck P3"] == (76, 136, 256)
    assert shapes["neck P6"] == (10, 17, 256)
    assert shapes["neck P7"] == (5, 9, 256)
    anchors = 9 * (76 * 136 + 38 * 68 + 19 * 34 + 10 * 17 + 5 * 9)
    assert shapes["class head"] == (anchors, 5)
    assert shapes["box head"] == (anchors, 4)
    parts = flops.semantic_fpn(TINY, 72, 104, classes=5)
    assert parts[-1].output == (18, 26, 5)
    assert {part.name: part.output for part in parts}["head P5"] == (16, 24, 128)


def test_no_bias_and_batch_norm_are_those_of_keras_layers():
    """Running statistics are no parameters."""
    x = keras.KerasTensor((None, 6, 9, 8))
    pairs = [
        (keras.layers.Conv2D(5, 3, use_bias=False), flops.conv(28, 8, 5, 3, bias=False)),
        (keras.layers.DepthwiseConv2D(3, use_bias=False), flops.conv(28, 1, 8, 3, bias=False)),
        (keras.layers.Conv2DTranspose(5, 2, strides=2), flops.transposed_conv(54, 8, 5, 2)),
        (keras.layers.Dense(5, use_bias=False), flops.dense(54, 8, 5, bias=False)),
        (keras.layers.BatchNormalization(), flops.batch_norm(54, 8)),
    ]
    for layer, cost in pairs:
        layer.build(x.shape)
        learnt = sum(int(keras.ops.size(weight)) for weight in layer.trainable_weights)
        assert learnt == cost.parameters == cost.layer_parameters, layer.name


def test_every_relu_of_retinanets_heads_counts():
    """Four a head, on all cells of P3 to P7."""
    *_, classes, boxes = flops.retinanet(SMALL, 800, 1280)
    cells = 100 * 160 + 50 * 80 + 25 * 40 + 13 * 20 + 7 * 10
    assert classes.cost.elementwise == boxes.cost.elementwise == 4 * 256 * cells
