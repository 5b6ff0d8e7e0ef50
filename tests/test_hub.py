"""PVT as a member of KerasHub: presets, weights, LoRA, preprocessing."""

import keras
import numpy as np
import pytest
from conftest import TINY, perturb
from contracts import run

import keras_pvt

pytestmark = pytest.mark.one_backend("KerasHub has tests of backends itself", full=True)


@pytest.fixture(scope="module", autouse=True)
def _libraries():
    """Imported when a test runs: to collect tests takes no KerasHub, which needs seconds."""
    global keras_hub, hub
    keras_hub = pytest.importorskip("keras_hub")
    hub = pytest.importorskip("keras_pvt.hub")


@pytest.fixture(scope="module")
def backbone():
    model = hub.PVTHubBackbone(TINY)
    perturb(model)
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(4).uniform(-2, 2, (2, 64, 96, 3)).astype("float32")


def test_a_name_that_is_not_given_is_the_class_s():
    assert hub.PVTHubBackbone(TINY).name.startswith("pvt_hub_backbone")
    assert hub.PVTSegFormerEncoder("pvt_nano").name.startswith("pvt_seg_former_encoder")
    assert hub.PVTHubBackbone(TINY, name="eyes").name == "eyes"


def test_weights_go_either_way(backbone, images, tmp_path):
    neutral = keras_pvt.PVTBackbone(TINY)
    neutral.set_weights(backbone.get_weights())
    expected = run(backbone, images)
    np.testing.assert_array_equal(run(neutral, images), expected)
    for source, target in ((backbone, neutral), (neutral, backbone)):
        source.save_weights(tmp_path / "pvt.weights.h5")
        target.set_weights([0 * weight for weight in target.get_weights()])
        target.load_weights(tmp_path / "pvt.weights.h5")
        np.testing.assert_array_equal(run(target, images), expected)


def test_backbone_preset(backbone, images, tmp_path):
    backbone.save_to_preset(tmp_path / "preset")
    loaded = keras_hub.models.Backbone.from_preset(str(tmp_path / "preset"))
    assert type(loaded) is hub.PVTHubBackbone
    np.testing.assert_array_equal(run(loaded, images), run(backbone, images))
    half = hub.PVTHubBackbone.from_preset(
        str(tmp_path / "preset"), dtype="mixed_bfloat16", input_shape=(64, 96, 3)
    )
    assert half.dtype_policy.name == "mixed_bfloat16"
    assert half.image_shape == (64, 96, 3)


def test_classifier_preset_with_its_preprocessor(backbone, tmp_path, rng):
    converter = hub.PVTImageConverter(image_size=(64, 96))
    preprocessor = hub.PVTImageClassifierPreprocessor(converter)
    classifier = hub.PVTImageClassifier(backbone, num_classes=3, preprocessor=preprocessor)
    photos = rng.integers(0, 256, (2, 80, 120, 3)).astype("uint8")
    expected = classifier.predict(photos, verbose=0)
    classifier.save_to_preset(tmp_path / "preset")
    loaded = keras_hub.models.ImageClassifier.from_preset(str(tmp_path / "preset"))
    assert type(loaded) is hub.PVTImageClassifier
    np.testing.assert_array_equal(loaded.predict(photos, verbose=0), expected)


@pytest.mark.parametrize("frozen", ["backbone", "head", "attention"])
def test_what_is_frozen_in_a_classifier_stays_frozen(frozen, tmp_path):
    classifier = hub.PVTImageClassifier(hub.PVTHubBackbone(TINY), num_classes=3)
    for layer in classifier._flatten_layers(include_self=False):
        is_head = isinstance(layer, keras.layers.Dense) and layer.units == 3
        if {"backbone": layer is classifier.backbone, "head": is_head}.get(
            frozen, layer.name == "attention"
        ):
            layer.trainable = False
    expected = [v.path for v in classifier.trainable_variables]
    assert 0 < len(expected) < len(classifier.variables)
    classifier.save(tmp_path / "model.keras")
    classifier.save_to_preset(tmp_path / "preset")
    for loaded in (
        keras.saving.load_model(tmp_path / "model.keras", compile=False),
        hub.PVTImageClassifier.from_preset(str(tmp_path / "preset")),
    ):
        assert [v.path for v in loaded.trainable_variables] == expected


def test_converter_normalises_as_preprocess_input(rng):
    photos = rng.integers(0, 256, (2, 64, 96, 3)).astype("uint8")
    converted = keras.ops.convert_to_numpy(hub.PVTImageConverter()(photos))
    np.testing.assert_allclose(converted, keras_pvt.preprocess_input(photos), atol=1e-5)


def test_detector_preset(backbone, images, tmp_path):
    pyramid = keras_hub.models.RetinaNetBackbone(backbone, 3, 7, use_p5=False)
    detector = keras_hub.models.RetinaNetObjectDetector(
        pyramid,
        num_classes=3,
        bounding_box_format="xyxy",
        prediction_decoder=keras_pvt.detection.NonMaxSuppression("xyxy", max_detections=30),
        preprocessor=keras_hub.models.RetinaNetObjectDetectorPreprocessor(
            keras_hub.layers.RetinaNetImageConverter(image_size=(64, 96))
        ),
    )
    detector.save_to_preset(tmp_path / "preset")
    loaded = keras_hub.models.ObjectDetector.from_preset(str(tmp_path / "preset"))
    assert type(loaded.backbone.image_encoder) is hub.PVTHubBackbone
    assert loaded.prediction_decoder.max_detections == 30
    for new, old in zip(loaded.weights, detector.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (new.value, old.value)))


def test_lora_trains_queries_keys_and_values_only(images, tmp_path):
    model = hub.PVTHubBackbone(TINY)
    before = run(model, images)
    model.enable_lora(2)
    np.testing.assert_allclose(run(model, images), before, atol=1e-6)
    names = {variable.path.split("/")[-2] for variable in model.trainable_variables}
    assert names == {"query", "key_value"}
    for variable in model.trainable_variables:
        if "lora_kernel_b" in variable.path:  # zeros to begin with
            variable.assign(keras.random.normal(variable.shape, seed=1))
    changed = run(model, images)
    assert np.abs(changed - before).max() > 1e-3, "the layers leave LoRA out"
    model.save_lora_weights(tmp_path / "pvt.lora.h5")
    other = hub.PVTHubBackbone(TINY)
    other.load_lora_weights(tmp_path / "pvt.lora.h5")


def test_segformer_encoder_counts_levels_from_one():
    encoder = hub.PVTSegFormerEncoder(TINY, input_shape=(64, 96, 3))
    shapes = {level: tuple(x.shape[1:3]) for level, x in encoder.pyramid_outputs.items()}
    assert shapes == {"P1": (16, 24), "P2": (8, 12), "P3": (4, 6), "P4": (2, 3)}
    assert tuple(encoder.hidden_dims) == TINY.embed_dims
