"""Parameters and GFLOPs: the published figures, and the models that we build."""

import keras
import pytest
from conftest import TINY

import keras_pvt
from keras_pvt import flops
from keras_pvt.variants import VARIANTS

pytestmark = pytest.mark.one_backend("counts from configurations")

PARAMETERS = {
    "pvt_tiny": 13_229_288,
    "pvt_small": 24_485_864,
    "pvt_medium": 44_208_104,
    "pvt_large": 61_369_320,
}


@pytest.fixture(scope="module")
def built():
    """A backbone for 72x104, which stage 4 and every reduction floor."""
    return keras_pvt.PVTBackbone(TINY, input_shape=(72, 104, 3))


@pytest.mark.parametrize(
    ("variant", "gflops", "attention", "with_norms"),
    [
        ("pvt_tiny", 1.9331, 0.0762, 1.9372),
        ("pvt_small", 3.8159, 0.1426, 3.8228),
        ("pvt_medium", 6.6596, 0.2164, 6.6699),
        ("pvt_large", 9.8143, 0.3110, 9.8288),
    ],
)
def test_published_figures_of_classifiers_at_224(variant, gflops, attention, with_norms):
    cost = flops.total(flops.classifier(VARIANTS[variant], 224, 224))
    assert cost.parameters == PARAMETERS[variant]
    assert cost.gflops == pytest.approx(gflops, abs=5e-5)
    assert cost.attention / 1e9 == pytest.approx(attention, abs=5e-5)
    assert cost.gflops + cost.norms / 1e9 == pytest.approx(with_norms, abs=5e-5)


@pytest.mark.parametrize(
    ("variant", "with_norms", "attention"),
    [
        ("pvt_tiny", 11.77, 2.08),
        ("pvt_small", 23.07, 3.89),
        ("pvt_medium", 39.57, 5.91),
        ("pvt_large", 58.16, 8.49),
    ],
)
def test_published_figures_of_backbones_at_512(variant, with_norms, attention):
    """The official counter's own output, which has the norms in it."""
    cost = flops.total(flops.backbone(VARIANTS[variant], 512, 512))
    assert cost.gflops + cost.norms / 1e9 == pytest.approx(with_norms, abs=5e-3)
    assert cost.attention / 1e9 == pytest.approx(attention, abs=5e-3)


def test_parameters_are_those_of_a_built_classifier():
    """Other channels and classes than the row has."""
    model = keras_pvt.classifier(TINY, input_shape=(72, 104, 4), classes=5)
    parts = flops.classifier(TINY, 72, 104, channels=4, classes=5)
    assert flops.total(parts).parameters == model.count_params()
    assert parts[-1].output == model.output_shape[1:]


def test_parameters_and_maps_are_those_of_a_built_backbone(built):
    parts = flops.backbone(TINY, 72, 104)
    assert flops.total(parts).parameters == built.count_params()
    maps = [tuple(x.shape[1:]) for x in built.pyramid_outputs.values()]
    assert [part.output for part in parts] == maps


def test_multiply_adds_are_those_of_the_built_layers(built):
    counted = 0
    for layer in built.layers:
        height, width = layer.output.shape[1:3]
        if isinstance(layer, keras_pvt.layers.PatchEmbedding):
            counted += height * width * (_size(layer.proj.kernel) + layer.dim)
        elif isinstance(layer, keras_pvt.layers.EncoderBlock):
            attention, feed_forward, side = layer.attention, layer.feed_forward, layer.sr_ratio
            keys = (height // side) * (width // side)
            if side > 1:
                counted += keys * (_size(attention.sr.kernel) + layer.dim)
            counted += keys * _size(attention.key_value.kernel)
            for dense in (attention.query, attention.proj, feed_forward.fc1, feed_forward.fc2):
                counted += height * width * _size(dense.kernel)
    assert flops.total(flops.backbone(TINY, 72, 104)).layers == counted


def _size(variable: keras.Variable) -> int:
    return int(keras.ops.size(variable))


def test_too_small_an_image_names_the_smallest():
    with pytest.raises(ValueError, match=r"72x31 .* 32 or more"):
        flops.backbone(TINY, 72, 31)
