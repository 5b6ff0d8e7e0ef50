"""Semantic FPN and Trans2Seg against what the official code computes."""

import keras
import numpy as np
import pytest
import recipe
from contracts import as_users

import keras_pvt
from keras_pvt import conversion
from keras_pvt.segmentation import PixelCrossentropy, SemanticFPN, Trans2Seg
from keras_pvt.segmentation.models.prototype_head import PrototypeHead

SMALL = keras_pvt.PVTConfig(
    depths=(1, 1, 1, 1), embed_dims=(8, 16, 40, 64), image_size=64, num_heads=(1, 2, 5, 8)
)
STATES = {"semantic_fpn": "semantic_fpn_pvt_tiny", "trans2seg": "trans2seg_pvt_tiny_128"}


LAYERS = {
    "semantic_fpn": ("logits", "full_size"),
    "trans2seg": ("encoder", "decoder3", "full_size"),
}
SIZES = {"semantic_fpn": (96, 128), "trans2seg": (128, 128)}


@pytest.fixture(scope="module")
def states():
    return {name: recipe.dense_state_dict(state) for name, state in STATES.items()}


@pytest.fixture(scope="module")
def models(states):
    """Both, with recipe weights."""
    backbone = keras_pvt.PVTBackbone("pvt_tiny", input_shape=(128, 128, 3))
    models = {
        "semantic_fpn": SemanticFPN(keras_pvt.PVTBackbone("pvt_tiny")),
        # Chunks of 2 of 5 classes: the last is smaller.
        "trans2seg": Trans2Seg(backbone, num_classes=5, class_chunk=2),
    }
    for name, model in models.items():
        conversion.load_checkpoint(model, states[name])
    return models


def outputs(model, name):
    """Of some layers."""
    inner = keras.Model(
        model.input, {layer: model.get_layer(layer).output for layer in LAYERS[name]}
    )
    return as_users(inner, recipe.images(*SIZES[name], batch=1))


@pytest.fixture(scope="module")
def found(models):
    """What layers of the models give."""
    return {name: outputs(model, name) for name, model in models.items()}


def check(array, golden, name):
    assert array.shape == tuple(golden[f"{name}/shape"])
    np.testing.assert_allclose(recipe.sample(array), golden[name], rtol=0, atol=5e-5)


def test_semantic_fpn_gives_the_official_logits(found):
    golden, found = recipe.golden("semantic_fpn"), found["semantic_fpn"]
    check(found["logits"], golden, "logits_stride4")
    check(found["full_size"], golden, "logits")
    assert (found["full_size"].argmax(-1) == golden["argmax"]).mean() > 0.9999


@pytest.mark.parametrize("logits", LAYERS["semantic_fpn"])
def test_semantic_fpn_has_the_official_loss(found, logits):
    """Also of logits at stride 4, which the loss resizes; one pixel in 151 is ignored."""
    height, width = SIZES["semantic_fpn"]
    labels = (7 * np.arange(height)[:, None] + 3 * np.arange(width)) % 151
    labels = np.where(labels == 150, 255, labels)[None].astype("int32")
    loss = PixelCrossentropy()(labels, found["semantic_fpn"][logits])
    assert float(loss) == pytest.approx(float(recipe.golden("semantic_fpn")["loss"]), abs=2e-5)


def test_trans2seg_gives_the_official_logits(found):
    golden, found = recipe.golden("trans2seg"), found["trans2seg"]
    check(found["encoder"], golden, "encoder")
    np.testing.assert_allclose(found["decoder3"], golden["attention_last"], rtol=0, atol=5e-5)
    check(found["full_size"], golden, "logits")


@pytest.mark.one_backend("moves arrays of weights")
@pytest.mark.parametrize("name", STATES)
def test_conversion_back_gives_the_same_checkpoint(models, states, name):
    state = states[name]
    back = conversion.to_torch(models[name])
    assert list(back) == list(state)
    for key, array in state.items():
        expected = array.copy()
        if key.endswith("pos_embed4"):
            expected[:, 0] = 0  # the class token's, which a pyramid does not have
        np.testing.assert_array_equal(back[key], expected, err_msg=key)


@pytest.mark.one_backend("what is said")
@pytest.mark.parametrize("name", STATES)
def test_a_checkpoint_must_fit(models, states, name):
    state = dict(states[name])
    gone = next(key for key in reversed(state) if key.endswith("weight"))
    del state[gone]
    with pytest.raises(conversion.CheckpointError, match=f"1 missing: {gone}"):
        conversion.load_checkpoint(models[name], state | {"module": np.zeros(1, "float32")})


@pytest.mark.one_backend("test_every_system.py keeps a file on each")
@pytest.mark.parametrize("name", STATES)
def test_saving_keeps_the_model(models, found, name, tmp_path):
    models[name].save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert [v.path for v in again.trainable_variables] == [
        v.path for v in models[name].trainable_variables
    ]
    results = outputs(again, name)
    for layer in LAYERS[name]:
        np.testing.assert_allclose(results[layer], found[name][layer], rtol=0, atol=1e-5)


@pytest.mark.one_backend("the golden has chunks on each", full=True)
def test_trans2seg_in_chunks_is_trans2seg():
    """Also a rectangle, another level, and batch 2."""
    backbone = keras_pvt.PVTBackbone(SMALL, input_shape=(64, 96, 3))
    model = Trans2Seg(backbone, 7, skip_level="P3", embed_dim=32, depth=1, class_chunk=3)
    assert model.output_shape == (None, 64, 96, 7)
    head = model.get_layer("prototype_head")
    inner = keras.Model(model.input, [*head.input, head.output])
    *seen, logits = inner.predict_on_batch(recipe.images(64, 96))
    assert logits.shape == (2, 8, 12, 7)
    whole = PrototypeHead(head.width, class_chunk=0)
    whole.build(*(x.shape for x in seen))
    whole.set_weights(head.get_weights())
    inputs = [keras.Input(x.shape[1:]) for x in seen]
    result = keras.Model(inputs, whole(*inputs)).predict_on_batch(seen)
    np.testing.assert_allclose(logits, result, rtol=0, atol=1e-5)


@pytest.mark.one_backend("what is said")
def test_an_open_size_is_an_error_of_trans2seg():
    with pytest.raises(ValueError, match="one image size"):
        Trans2Seg(keras_pvt.PVTBackbone("pvt_nano"))


@pytest.mark.one_backend("test_every_system.py has one on each")
def test_semantic_fpn_takes_sizes_that_are_no_multiples():
    model = SemanticFPN(keras_pvt.PVTBackbone(SMALL), 3, neck_width=8, head_width=8)
    assert model.predict_on_batch(recipe.images(72, 104)).shape == (2, 72, 104, 3)
