"""Constructors, the backbone, saving, and precision; structure on tiny configurations."""

import dataclasses
import json
import os
import subprocess
import sys

import contracts
import keras
import numpy as np
import pytest
from conftest import TINY, perturb

import keras_pvt
from keras_pvt.families import config_of
from keras_pvt.variants import VARIANTS

PARAMETERS = {
    "pvt_tiny": 13_229_288,
    "pvt_small": 24_485_864,
    "pvt_medium": 44_208_104,
    "pvt_large": 61_369_320,
}


def tiny(**arguments) -> keras.Model:
    """A small classifier with perturbed weights."""
    model = keras_pvt.classifier(TINY, **arguments)
    perturb(model)
    return model


def tiny_backbone(**arguments) -> keras_pvt.PVTBackbone:
    model = keras_pvt.PVTBackbone(TINY, **arguments)
    perturb(model)
    return model


@pytest.fixture
def images(rng):
    return rng.standard_normal((2, 72, 104, 3)).astype("float32")


@pytest.mark.one_backend("reads a table")
def test_table_is_the_paper_s():
    for name, depths in {
        "pvt_tiny": (2, 2, 2, 2),
        "pvt_small": (3, 4, 6, 3),
        "pvt_medium": (3, 4, 18, 3),
        "pvt_large": (3, 8, 27, 3),
    }.items():
        config = VARIANTS[name]
        assert config.depths == depths
        assert config.patch_sizes == (4, 2, 2, 2)
        assert config.embed_dims == (64, 128, 320, 512)
        assert config.sr_ratios == (8, 4, 2, 1)
        assert config.num_heads == (1, 2, 5, 8)
        assert config.mlp_ratios == (8, 8, 4, 4)
        assert config.strides == (4, 8, 16, 32)
        assert config.grids == (56, 28, 14, 7)
        assert config.levels == ("P2", "P3", "P4", "P5")
        assert config.min_size == 32
    deeper = dataclasses.replace(VARIANTS["pvt_tiny"], sr_ratios=(16, 4, 2, 1))
    assert deeper.min_size == 64  # which leaves one key in stage 1


@pytest.mark.one_backend("counts weights")
@pytest.mark.parametrize(
    ("constructor", "name"),
    [
        ("PVTNano", "pvt_nano"),
        ("PVTTiny", "pvt_tiny"),
        ("PVTSmall", "pvt_small"),
        ("PVTMedium", "pvt_medium"),
        ("PVTLarge", "pvt_large"),
        ("PVTV2Nano", "pvt_v2_nano"),
        *((f"PVTV2B{n}", f"pvt_v2_b{n}") for n in range(6)),
        ("PVTV2B2Linear", "pvt_v2_b2_li"),
    ],
)
def test_named_constructor_and_parameter_count(constructor, name):
    model = getattr(keras_pvt, constructor)(weights=None)
    assert model.name == name
    assert config_of(model) == VARIANTS[name]
    if name.endswith("_nano"):
        assert model.count_params() < (2_200_000 if "v2" in name else 2_000_000)
    else:
        if name in PARAMETERS:  # test_pvt_v2.py has those of the others
            assert model.count_params() == PARAMETERS[name]
        assert model.output_shape == (None, 1000)


@pytest.mark.one_backend("a layer of Keras")
def test_probabilities_sum_to_one_and_follow_the_logits(images):
    logits = tiny(input_shape=(None, None, 3), classifier_activation=None)
    probabilities = tiny(input_shape=(None, None, 3))
    y = contracts.run(probabilities, images)
    assert y.shape == (2, 7)
    np.testing.assert_allclose(y.sum(-1), 1, rtol=1e-5)
    expected = np.exp(contracts.run(logits, images))
    np.testing.assert_allclose(y, expected / expected.sum(-1, keepdims=True), rtol=1e-4)


@pytest.mark.one_backend("a layer of Keras")
def test_pooling_of_the_trunk(images):
    backbone = tiny_backbone()
    p5 = contracts.run(backbone, images)
    assert p5.shape == (2, 2, 3, 28)
    for pooling, expected in {None: p5, "avg": p5.mean((1, 2)), "max": p5.max((1, 2))}.items():
        model = tiny(include_top=False, pooling=pooling)
        assert model.input_shape == (None, None, None, 3)
        np.testing.assert_allclose(contracts.run(model, images), expected, rtol=1e-4, atol=1e-5)
    token = tiny(include_top=False, pooling="token")
    top = tiny(input_shape=(None, None, 3), classifier_activation=None)
    features = contracts.run(token, images)
    kernel, bias = top.get_layer("head").get_weights()
    np.testing.assert_allclose(features @ kernel + bias, contracts.run(top, images), atol=1e-4)


@pytest.mark.one_backend("a layer of Keras")
def test_input_tensor_and_preprocessing_inside(rng):
    raw = rng.integers(0, 256, (2, 72, 104, 3)).astype("float32")
    inside = tiny(input_shape=(72, 104, 3), include_preprocessing=True)
    outside = tiny(input_tensor=keras.Input((72, 104, 3)))
    np.testing.assert_allclose(
        contracts.run(inside, raw),
        contracts.run(outside, keras_pvt.preprocess_input(raw)),
        atol=1e-5,
    )
    start = keras.Input((72, 104, 3))
    scaled = tiny(input_tensor=keras.layers.Rescaling(0.5)(start))
    assert scaled.input is start
    np.testing.assert_allclose(
        contracts.run(scaled, raw / 64), contracts.run(outside, raw / 128), atol=1e-5
    )


@pytest.mark.one_backend("another width of the same kernel", full=True)
@pytest.mark.parametrize("channels", [1, 4])
def test_other_channels(channels, rng):
    model = tiny(input_shape=(72, 104, channels), include_preprocessing=True)
    x = rng.integers(0, 256, (2, 72, 104, channels))
    assert np.isfinite(contracts.run(model, x)).all()


def test_one_open_model_takes_every_size_and_batch(rng):
    """`predict` retraces on a new size, then relaxes it: no size may be special."""
    model = tiny(input_shape=(None, None, 3), classifier_activation=None)
    for batch, height, width in ((1, 64, 64), (3, 32, 33), (2, 104, 72), (2, 95, 130), (1, 64, 64)):
        x = rng.standard_normal((batch, height, width, 3)).astype("float32")
        fixed = tiny(input_shape=(height, width, 3), classifier_activation=None)
        expected = keras.ops.convert_to_numpy(contracts.compiled(fixed)(x))
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_backbone_s_pyramid(images):
    backbone = tiny_backbone()
    assert list(backbone.pyramid_outputs) == ["P2", "P3", "P4", "P5"]
    pyramid = keras.Model(backbone.input, backbone.pyramid_outputs)
    shapes = {level: tuple(y.shape) for level, y in pyramid(images).items()}
    assert shapes == {
        "P2": (2, 18, 26, 8),
        "P3": (2, 9, 13, 12),
        "P4": (2, 4, 6, 20),
        "P5": (2, 2, 3, 28),
    }
    for level, name in backbone.pyramid_level_inputs.items():
        assert backbone.get_layer(name).output is backbone.pyramid_outputs[level]
    assert not any("class_token" in v.path or v.path.startswith("norm") for v in backbone.variables)


@pytest.mark.one_backend("reads names")
def test_names_of_weights_do_not_depend_on_history():
    paths = [v.path for v in tiny_backbone().variables]
    assert paths == [v.path for v in tiny_backbone().variables]
    assert "stage3_block1/attention/sr/kernel" in paths


@pytest.mark.one_backend("what Keras copies", full=True)
def test_clone_has_the_same_outputs(images):
    for model in (tiny(input_shape=(None, None, 3)), tiny_backbone()):
        clone = keras.models.clone_model(model)
        clone.set_weights(model.get_weights())
        np.testing.assert_array_equal(contracts.run(clone, images), contracts.run(model, images))


@pytest.mark.one_backend("test_every_system.py keeps a file on each")
def test_weights_file_round_trip(tmp_path, images):
    model = tiny(input_shape=(None, None, 3))
    model.save_weights(tmp_path / "tiny.weights.h5")
    other = keras_pvt.classifier(TINY, input_shape=(None, None, 3))
    other.load_weights(tmp_path / "tiny.weights.h5")
    np.testing.assert_array_equal(contracts.run(other, images), contracts.run(model, images))


RELOAD = """
import sys, numpy, keras, keras_pvt
folder = sys.argv[1]
images = numpy.load(folder + "/images.npy")
for name in ("classifier", "backbone"):
    model = keras.saving.load_model(f"{folder}/{name}.keras", safe_mode=True)
    y = keras.ops.convert_to_numpy(model(images))
    numpy.testing.assert_allclose(y, numpy.load(f"{folder}/{name}.npy"), rtol=1e-4, atol=1e-5)
    if name == "backbone":
        assert type(model) is keras_pvt.PVTBackbone
        assert list(model.pyramid_level_inputs) == ["P2", "P3", "P4", "P5"]
print(keras.backend.backend(), "agrees")
"""


@pytest.mark.one_backend("starts processes of two backends")
@pytest.mark.full(
    "starts processes of two backends; test_files_of_0_1.py reads a file of each system"
)
def test_saved_models_load_in_a_fresh_process_on_every_backend(tmp_path, images):
    np.save(tmp_path / "images.npy", images)
    models = {"classifier": tiny(input_shape=(None, None, 3)), "backbone": tiny_backbone()}
    for name, model in models.items():
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / f"{name}.npy", contracts.run(model, images))
    # Each backend's run covers the file of this backend on itself and on the next one.
    ring = ["jax", "tensorflow", "torch", "jax"]
    here = keras.backend.backend()
    for backend in (here, ring[ring.index(here) + 1]):
        done = subprocess.run(
            [sys.executable, "-c", RELOAD, str(tmp_path)],
            env={**os.environ, "KERAS_BACKEND": backend},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert f"{backend} agrees" in done.stdout


def test_backbone_config_is_json_and_keeps_everything():
    backbone = keras_pvt.PVTBackbone(
        TINY,
        input_shape=(72, None, 4),
        drop_rate=0.1,
        attention_drop_rate=0.2,
        drop_path_rate=0.3,
        include_preprocessing=True,
        name="eyes",
        dtype="mixed_bfloat16",
    )
    config = json.loads(json.dumps(backbone.get_config()))
    twin = keras_pvt.PVTBackbone.from_config(config)
    assert twin.get_config() == backbone.get_config()
    assert twin.config == TINY
    assert twin.get_layer("stage4_block0").drop_path_rate == pytest.approx(0.3)
    assert twin.get_layer("stage1_block0").drop_path_rate == 0
    assert twin.get_layer("stage2_block1").drop_path_rate == pytest.approx(0.3 * 2 / 5)


@pytest.mark.one_backend("test_layers.py has each layer in half precision", full=True)
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_of_a_real_variant(policy, rng):
    """Outputs stay close to float32, and one step of training reaches every weight."""
    wide = keras_pvt.PVTTiny(weights=None, classifier_activation=None, input_shape=(64, 96, 3))
    perturb(wide)
    half = keras_pvt.PVTTiny(
        weights=None, classifier_activation=None, input_shape=(64, 96, 3), dtype=policy
    )
    half.set_weights(wide.get_weights())
    x = rng.standard_normal((2, 64, 96, 3)).astype("float32")
    logits = contracts.compiled(half)(x)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    expected = contracts.compiled(wide)(x)
    assert contracts.cosine(*map(keras.ops.convert_to_numpy, (logits, expected))) >= 0.999
    contracts.check_every_weight_learns(half, x)


@pytest.mark.one_backend("what is said")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_shape": (31, 64, 3)}, "height 31 is below 32"),
        ({"input_shape": (64, 16, 3)}, "width 16 is below 32"),
        ({"input_shape": (3, 64, 64)}, "channels-first"),
        ({"input_shape": (64, 64)}, r"must be \(height, width, channels\)"),
        ({"input_shape": (64, 64, None)}, "number of channels"),
        ({"input_shape": (64, -64, 3)}, "integers above 0"),
        ({"input_tensor": np.zeros((1, 64, 64, 3))}, "Keras tensor"),
        ({"pooling": "avg"}, "include_top=False"),
        ({"pooling": "mean", "include_top": False}, "pooling"),
        ({"classes": 0}, "classes"),
        ({"drop_path_rate": 1.5}, "drop"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        keras_pvt.classifier(TINY, **arguments)


def test_too_small_an_image_at_run_time_is_named(rng):
    model = tiny(input_shape=(None, None, 3))
    with pytest.raises(ValueError, match="smaller than the"):
        model(rng.standard_normal((1, 15, 64, 3)).astype("float32"))


@pytest.mark.one_backend("what is said")
def test_unknown_variant_is_named():
    with pytest.raises(ValueError, match=r"no variant 'pvt_huge'; there are .*pvt_tiny"):
        keras_pvt.classifier("pvt_huge")
    with pytest.raises(ValueError, match="four integers"):
        keras_pvt.PVTConfig(depths=(2, 2, 2))
    for depths in (2, None, (2, 2, 2, True), (2, 2, 2, 0)):
        with pytest.raises(ValueError, match="four integers"):
            keras_pvt.PVTConfig(depths=depths)
    with pytest.raises(ValueError, match="must divide `embed_dims`"):
        keras_pvt.PVTConfig(depths=(2, 2, 2, 2), num_heads=(1, 3, 5, 8))
    for classes in (0, -1, 2.0, True, None):
        with pytest.raises(ValueError, match=r"`classes` must be an integer.*include_top=False"):
            keras_pvt.PVTConfig(depths=(2, 2, 2, 2), classes=classes)
    with pytest.raises(ValueError, match="`image_size` must be an integer of at least 1; got 0"):
        keras_pvt.PVTConfig(depths=(2, 2, 2, 2), image_size=0)


def test_channels_first_setting_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="channels_last"):
            keras_pvt.classifier(TINY)
    finally:
        keras.config.set_image_data_format("channels_last")
