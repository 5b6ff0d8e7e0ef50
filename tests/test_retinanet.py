"""RetinaNet against what the official code computes, and as a Keras model."""

import keras
import numpy as np
import pytest
import recipe
from conftest import perturb
from contracts import as_users
from detections import assert_end_with_images, ranks
from keras import ops

import keras_pvt
from keras_pvt import conversion, flops
from keras_pvt.detection import NonMaxSuppression, RetinaNet

LEVELS = ("P3", "P4", "P5", "P6", "P7")
TOTALS = {
    "pvt_tiny": 22_964_724,
    "pvt_small": 34_221_300,
    "pvt_medium": 53_943_540,
    "pvt_large": 71_104_756,
}
HEIGHT, WIDTH = 96, 128
# Fractions of width and height.
BOXES = ((0.08, 0.08, 0.47, 0.73), (0.23, 0.21, 0.86, 0.885))


def numpy(tree):
    return keras.tree.map_structure(ops.convert_to_numpy, tree)


@pytest.fixture(scope="module")
def golden():
    return recipe.golden("retinanet")


@pytest.fixture(scope="module")
def official():
    """A checkpoint, and the model that it is in."""
    state = recipe.dense_state_dict("retinanet_pvt_tiny")
    model = RetinaNet(keras_pvt.PVTBackbone("pvt_tiny"))
    conversion.load_checkpoint(model, state)
    return state, model


@pytest.fixture(scope="module")
def found(official):
    """Maps and detections, by one program."""
    _, model = official
    detector = model.detector(padded=True)
    neck = {f"P{n + 3}": model.get_layer(f"neck_output{n}").output for n in range(5)}
    whole = keras.Model(
        detector.input, {"neck": neck, "detections": detector.output, **model.output}
    )
    sizes = np.array([[90, 120]], "float32")
    images = recipe.images(HEIGHT, WIDTH, batch=1)
    return as_users(whole, {"images": images, "sizes": sizes})


@pytest.fixture(scope="module")
def small():
    """On another backbone, of levels P2 to P6, with 3 classes."""
    model = RetinaNet(keras_pvt.PVTBackbone("pvt_nano"), num_classes=3, neck_width=12, head_depth=1)
    perturb(model)
    return model


def labels(batch=1, objects=2, classes=(3, 17)):
    boxes = np.array(BOXES) * [WIDTH, HEIGHT, WIDTH, HEIGHT]
    boxes = np.tile(boxes.astype("float32"), (batch, 1, 1))
    classes = np.tile(np.array(classes, "float32"), (batch, 1))
    classes[:, objects:] = -1
    return {"boxes": boxes, "classes": classes}


@pytest.mark.parametrize("kind", ["neck", "cls", "reg"])
def test_maps_are_the_official_ones(found, golden, kind):
    maps = found[{"cls": "class_logits", "reg": "box_deltas"}.get(kind, kind)]
    assert list(maps) == list(LEVELS)
    for level, array in maps.items():
        assert array.shape == tuple(golden[f"{kind}/{level}/shape"])
        np.testing.assert_allclose(
            recipe.sample(array), golden[f"{kind}/{level}"], rtol=0, atol=5e-5
        )


def test_anchors_are_the_official_ones(official, found, golden):
    levels = official[1].anchors.of_maps(found["box_deltas"])
    anchors = np.concatenate([ops.convert_to_numpy(x) for x in levels.values()])
    assert anchors.shape == tuple(golden["anchors/shape"])
    np.testing.assert_array_equal(recipe.sample(anchors), golden["anchors"])


def test_detections_are_the_official_ones(found, golden):
    """In their order; the network saw the image at twice its size, with padding."""
    detections = found["detections"]
    assert detections["num_detections"].tolist() == [100]
    scores, labels_ = detections["confidence"][0], detections["labels"][0]
    boxes = detections["boxes"][0] / 2
    wanted = golden["detections"]
    order = ranks(scores, labels_, boxes, wanted[:, 4], golden["labels"], wanted[:, :4])
    assert (np.diff(scores) <= 0).all()
    np.testing.assert_array_equal(labels_[order], golden["labels"])
    np.testing.assert_allclose(boxes[order], wanted[:, :4], rtol=0, atol=5e-4)
    np.testing.assert_allclose(scores[order], wanted[:, 4], rtol=0, atol=2e-5)


def test_losses_are_the_official_ones(official, found, golden):
    """Of each level; and only of anchors that lie in images smaller than their batch."""
    model = official[1]
    outputs = {
        key: {level: ops.convert_to_tensor(x) for level, x in found[key].items()}
        for key in ("class_logits", "box_deltas")
    }
    of_class, of_box = numpy(model.anchor_losses(labels(), outputs))
    positive, negative = golden["num_pos_neg"]
    assert (of_box > 0).sum() == positive
    assert (of_class > 0).sum() == positive + negative
    assert of_class.size == positive + negative + 173  # ignored
    ends = np.cumsum([x[0, ..., :9].size for x in found["box_deltas"].values()])[:-1]
    for loss, name in ((of_class, "loss_cls"), (of_box, "loss_bbox")):
        levels = [part.sum() for part in np.split(loss[0], ends)]
        np.testing.assert_allclose(levels, golden[name], rtol=2e-5, atol=1e-7)

    y = labels(classes=(-1, -1)) | {"sizes": np.array([[33, 64]], "float32")}
    of_class, _ = numpy(model.anchor_losses(y, outputs))
    anchors = np.concatenate(list(numpy(model.anchors.of_maps(outputs["box_deltas"])).values()))
    x, y = (anchors[:, :2] + anchors[:, 2:]).T / 2
    np.testing.assert_array_equal(of_class[0] > 0, (x < 63.9) & (y < 63.9))


@pytest.mark.one_backend("moves arrays of weights")
def test_conversion_back_gives_the_same_checkpoint(official):
    state, model = official
    back = conversion.to_torch(model)
    assert list(back) == list(state)
    for key, array in state.items():
        expected = array.copy()
        if key.endswith("pos_embed4"):
            expected[:, 0] = 0  # the class token's, which a pyramid does not have
        np.testing.assert_array_equal(back[key], expected, err_msg=key)


@pytest.mark.one_backend("counts weights")
def test_parameters_are_those_of_the_account(official):
    """Official detectors also have an unused row of 512 in pos_embed4."""
    for variant, number in TOTALS.items():
        config = keras_pvt.variants.VARIANTS[variant]
        assert flops.total(flops.retinanet(config, 800, 1280)).parameters == number
    assert official[1].count_params() == TOTALS["pvt_tiny"] - 512


@pytest.mark.one_backend("test_every_system.py keeps a file on each")
def test_saving_keeps_model_and_detector(small, tmp_path):
    """A rectangle of no multiple; two images, each with boxes that end where it does."""
    small.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_config() == small.get_config()
    assert [v.path for v in again.variables] == [v.path for v in small.variables]
    for ours, theirs in zip(small.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)

    suppression = NonMaxSuppression("xyxy", max_candidates=300)
    detector = again.detector(suppression, per_level=50, padded=True)
    detector.save(tmp_path / "detector.keras")
    sizes = np.array([[72, 40], [30, 104]], "float32")
    inputs = {"images": recipe.images(72, 104), "sizes": sizes}
    expected = detector.predict_on_batch(inputs)
    assert (expected["num_detections"] > 0).all()
    assert_end_with_images(expected["boxes"], sizes)
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    for key, value in loaded.predict_on_batch(inputs).items():
        np.testing.assert_allclose(value, expected[key], rtol=0, atol=1e-3, err_msg=key)


def test_detector_of_whole_images(small):
    """By default all anchors, as there are fewer than 1000 a level, and empty boxes too."""
    detector = small.detector()
    assert detector.get_layer("suppression").get_config()["drop_empty"] is False
    assert {key: x.shape for key, x in detector.output.items()} == {
        "boxes": (None, 100, 4),
        "confidence": (None, 100),
        "classes": (None, 100),
        "labels": (None, 100),
        "num_detections": (None,),
    }
    (candidates,) = (layer for layer in detector.layers if layer.name == "candidates")
    images = np.zeros((1, 32, 64, 1), "float32")
    maps = {
        "class_logits": {"P4": np.zeros((1, 2, 4, 27), "float32")},
        "box_deltas": {"P4": np.zeros((1, 2, 4, 36), "float32")},
    }
    maps["box_deltas"]["P4"][0, 0, 0, 0] = np.nan
    boxes, logits = numpy(candidates(keras.tree.map_structure(ops.array, maps), images=images))
    assert boxes.shape == (1, 72, 4)
    np.testing.assert_allclose(boxes[0, -6], [16, 0, 64, 32])  # 64 wide around (48, 16), clipped
    assert np.isneginf(logits[0, 0]).all()
    assert not logits[0, 1:].any()


@pytest.mark.one_backend("test_every_system.py takes a step on each")
def test_it_learns(small):
    """Also from an image without objects, and of one that is smaller than its batch."""
    for layer in small.layers:  # of which JAX compiles the gradient for a quarter of a minute
        layer.trainable = not layer.name.startswith("stage")
    small.compile(keras.optimizers.Adam(1e-2))
    y = labels(2, classes=(0, 1))
    y["classes"][1] = -1
    y["sizes"] = np.array([[HEIGHT, WIDTH], [33, 64]], "float32")
    images = recipe.images(HEIGHT, WIDTH)
    history = small.fit(images, y, batch_size=2, epochs=12, verbose=0).history
    losses = np.array([history[key] for key in ("loss", "class_loss", "box_loss")])
    np.testing.assert_allclose(losses[0], losses[1] + losses[2], rtol=1e-5)
    assert (losses[:, -1] < 0.9 * losses[:, 0]).all()


@pytest.mark.one_backend("what is said, and what Keras casts", full=True)
def test_half_precision_and_bad_arguments(small):
    half = RetinaNet(keras_pvt.PVTBackbone("pvt_nano", dtype="mixed_float16"), 3, 12)
    assert {x.dtype for x in keras.tree.flatten(half.output)} == {"float32"}
    with pytest.raises(ValueError, match="anchor_side"):
        RetinaNet(keras_pvt.PVTBackbone("pvt_nano"), anchor_side=0)
    with pytest.raises(ValueError, match="pyramid_outputs"):
        RetinaNet(keras.Model(half.input, half.get_layer("neck_output0").output))
    small.compile("sgd", loss="mse")
    with pytest.raises(ValueError, match="computes its own losses"):
        small.compute_loss(y={}, y_pred={})
