"""Semantic FPN and Trans2Seg against what the official code computes."""

import keras
import numpy as np
import pytest
import recipe

import keras_pvt
from keras_pvt import conversion
from keras_pvt.segmentation import SemanticFPN, Trans2Seg

STATES = {"semantic_fpn": "semantic_fpn_pvt_tiny", "trans2seg": "trans2seg_pvt_tiny_128"}


def numpy(tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


@pytest.fixture(scope="module")
def models():
    """Both, with recipe weights, and what the load reported."""
    backbone = keras_pvt.PVTBackbone("pvt_tiny", input_shape=(128, 128, 3))
    models = {
        "semantic_fpn": SemanticFPN(keras_pvt.PVTBackbone("pvt_tiny")),
        # Chunks of 2 of 5 classes: the last is smaller.
        "trans2seg": Trans2Seg(backbone, num_classes=5, class_chunk=2),
    }
    for name, model in models.items():
        conversion.load_checkpoint(model, recipe.dense_state_dict(STATES[name]))
    return models


def outputs(model, names, size):
    inner = keras.Model(model.input, {name: model.get_layer(name).output for name in names})
    return {name: numpy(y) for name, y in inner(recipe.images(*size, batch=1)).items()}


def check(array, golden, name):
    assert array.shape == tuple(golden[f"{name}/shape"])
    np.testing.assert_allclose(recipe.sample(array), golden[name], rtol=0, atol=5e-5)


def test_semantic_fpn_gives_the_official_logits(models):
    golden = recipe.golden("semantic_fpn")
    found = outputs(models["semantic_fpn"], ("logits", "full_size"), (96, 128))
    check(found["logits"], golden, "logits_stride4")
    check(found["full_size"], golden, "logits")
    assert (found["full_size"].argmax(-1) == golden["argmax"]).mean() > 0.9999


def test_trans2seg_gives_the_official_logits(models):
    golden = recipe.golden("trans2seg")
    found = outputs(models["trans2seg"], ("encoder", "decoder3", "full_size"), (128, 128))
    check(found["encoder"], golden, "encoder")
    np.testing.assert_allclose(found["decoder3"], golden["attention_last"], rtol=0, atol=5e-5)
    check(found["full_size"], golden, "logits")


@pytest.mark.parametrize("name", STATES)
def test_conversion_back_gives_the_same_checkpoint(models, name):
    state = recipe.dense_state_dict(STATES[name])
    back = conversion.to_torch(models[name])
    assert list(back) == list(state)
    for key, array in state.items():
        expected = array.copy()
        if key.endswith("pos_embed4"):
            expected[:, 0] = 0  # the class token's, which a pyramid does not have
        np.testing.assert_array_equal(back[key], expected, err_msg=key)


@pytest.mark.parametrize("name", STATES)
def test_a_checkpoint_must_fit(models, name):
    state = recipe.dense_state_dict(STATES[name])
    gone = next(key for key in reversed(state) if key.endswith("weight"))
    del state[gone]
    with pytest.raises(conversion.CheckpointError, match=f"1 missing: {gone}"):
        conversion.load_checkpoint(models[name], state | {"module": np.zeros(1, "float32")})


@pytest.mark.parametrize("name", STATES)
def test_saving_keeps_the_model(models, name, tmp_path):
    model = models[name]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = recipe.images(128, 128, batch=2)
    np.testing.assert_allclose(numpy(again(x)), numpy(model(x)), rtol=0, atol=1e-5)


def test_trans2seg_in_chunks_is_trans2seg():
    """Also a rectangle, another level, and batch 2."""
    config = keras_pvt.PVTConfig(
        depths=(1, 1, 1, 1), embed_dims=(8, 16, 40, 64), image_size=64, num_heads=(1, 2, 5, 8)
    )
    models = [
        Trans2Seg(
            keras_pvt.PVTBackbone(config, input_shape=(64, 96, 3)),
            num_classes=7,
            skip_level="P3",
            embed_dim=32,
            depth=2,
            class_chunk=chunk,
        )
        for chunk in (0, 3)
    ]
    models[1].set_weights(models[0].get_weights())
    results = [numpy(model(recipe.images(64, 96))) for model in models]
    assert results[0].shape == (2, 64, 96, 7)
    np.testing.assert_allclose(*results, rtol=0, atol=1e-5)


def test_an_open_size_is_an_error_of_trans2seg():
    with pytest.raises(ValueError, match="one image size"):
        Trans2Seg(keras_pvt.PVTBackbone("pvt_nano"))


def test_semantic_fpn_takes_sizes_that_are_no_multiples():
    model = SemanticFPN(keras_pvt.PVTBackbone("pvt_nano"), num_classes=3)
    assert model(recipe.images(72, 104)).shape == (2, 72, 104, 3)
