"""DETR against what the official code computes."""

import keras
import numpy as np
import pytest
import recipe
from contracts import as_users
from detections import ranks

import keras_pvt
from keras_pvt import conversion
from keras_pvt.detection import DETR
from keras_pvt.detection.models.detr import DETRPostprocessor

# Of 96 x 128 pixels, 90 x 120 are the image.
SIZES = np.array([[90, 120]])
BOXES = np.array([[[0.08, 0.08, 0.47, 0.73], [0.23, 0.21, 0.86, 0.885]]]) * [128, 96, 128, 96]
CLASSES = np.array([[3, 17]])


@pytest.fixture(scope="module")
def state():
    return recipe.dense_state_dict("detr_pvt_small")


@pytest.fixture(scope="module")
def model(state):
    model = DETR(keras_pvt.PVTBackbone("pvt_small"))
    conversion.load_checkpoint(model, state)
    return model


@pytest.fixture(scope="module")
def golden():
    return recipe.golden("detr")


@pytest.fixture(scope="module")
def found(model):
    """What the model gives, and the backbone in it."""
    outputs = model.output | {"F4": model.get_layer("stage4_block2").output}
    images = recipe.images(96, 128, batch=1)
    return as_users(keras.Model(model.input, outputs), {"images": images, "sizes": SIZES})


def compiled(function):
    """The function, as one program where operations by themselves would each be compiled."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def tensors(found):
    return {key: keras.ops.convert_to_tensor(found[key]) for key in ("class_logits", "boxes")}


def test_all_layers_give_the_official_classes_and_boxes(found, golden):
    for name, golden_name in (("F4", "F4"), ("class_logits",) * 2, ("boxes",) * 2):
        array = found[name]
        if name != "F4":
            array = array.swapaxes(0, 1)  # official code has layers first
        assert array.shape == tuple(golden[f"{golden_name}/shape"])
        expected = golden[golden_name].reshape(-1)
        array = array.reshape(-1) if array.size == expected.size else recipe.sample(array)
        np.testing.assert_allclose(array, expected, rtol=0, atol=3e-5)


def test_detections_are_the_official_ones(found, golden):
    original = keras.ops.convert_to_tensor(np.array([[45, 60]]))
    answer = DETRPostprocessor()(tensors(found), sizes=original)
    answer = {key: keras.ops.convert_to_numpy(value)[0] for key, value in answer.items()}
    expected = golden["detections"]
    scores, labels, boxes = (answer[name] for name in ("confidence", "labels", "boxes"))
    order = ranks(scores, labels, boxes, expected[:, 4], golden["labels"], expected[:, :4], 2e-6)
    assert (np.diff(scores) <= 0).all()
    np.testing.assert_array_equal(labels[order], golden["labels"])
    np.testing.assert_allclose(scores[order], expected[:, 4], atol=1e-6)
    np.testing.assert_allclose(boxes[order], expected[:, :4], rtol=0, atol=1e-4)
    assert answer["num_detections"] == 100


def test_losses_are_the_official_ones(model, found, golden):
    labels = {"boxes": BOXES.astype("float32"), "classes": CLASSES}
    losses = compiled(model.hungarian_losses)({"sizes": SIZES}, labels, tensors(found))
    total = 0
    for name, loss in zip(("cls", "bbox", "iou"), losses, strict=True):
        expected = [golden[f"loss/{layer}loss_{name}"] for layer in LAYERS]
        loss = keras.ops.convert_to_numpy(loss)
        np.testing.assert_allclose(loss, np.ravel(expected), atol=5e-5, err_msg=name)
        total += loss.sum()
    assert total == pytest.approx(sum(golden[f"loss/{key}"] for key in KEYS).item(), abs=3e-4)


LAYERS = ("d0.", "d1.", "d2.", "d3.", "d4.", "")
KEYS = [f"{layer}loss_{name}" for layer in LAYERS for name in ("cls", "bbox", "iou")]


@pytest.mark.one_backend("moves arrays of weights")
def test_conversion_back_gives_the_same_checkpoint(model, state):
    back = conversion.to_torch(model)
    assert list(back) == list(state)
    assert sum(array.size for array in back.values()) == 41_645_141
    # The row of the class token, which a pyramid does not have.
    assert model.count_params() == 41_645_141 - 512
    for key, array in state.items():
        expected = array.copy()
        if key.endswith("pos_embed4"):
            expected[:, 0] = 0
        np.testing.assert_array_equal(back[key], expected, err_msg=key)


@pytest.mark.one_backend("what is said")
def test_a_checkpoint_must_fit(model, state):
    state = dict(state)
    gone = "bbox_head.transformer.decoder.layers.5.attentions.1.attn.in_proj_bias"
    del state[gone]
    short = state["bbox_head.fc_cls.bias"][1:]
    with pytest.raises(conversion.CheckpointError) as caught:
        conversion.load_checkpoint(
            model, state | {"bbox_head.fc_cls.bias": short, "more": np.zeros(1, "float32")}
        )
    for problem in (
        f"1 missing: {gone}",
        "1 unexpected: more",
        "1 mis-shaped: bbox_head.fc_cls.bias (80,) for (81,)",
    ):
        assert problem in str(caught.value)
