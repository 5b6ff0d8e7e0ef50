"""Mask R-CNN against what the official code computes."""

import keras
import numpy as np
import pytest
import recipe
from contracts import as_users, jitted
from detections import ranks
from keras import ops

import keras_pvt
from keras_pvt import conversion
from keras_pvt.detection import MaskRCNN, paste_masks
from keras_pvt.detection.ops.roi_align import roi_align

HEIGHT, WIDTH = 96, 128
MASK_CLASSES = (0, 15, 75)  # of which the golden has values
TOTALS = {
    "pvt_tiny": 32_882_160,
    "pvt_small": 44_138_736,
    "pvt_medium": 63_860_976,
    "pvt_large": 81_022_192,
}


@pytest.fixture(scope="module")
def golden():
    return recipe.golden("mask_rcnn")


@pytest.fixture(scope="module")
def official():
    """A checkpoint, and the model that it is in."""
    state = recipe.dense_state_dict("mask_rcnn_pvt_tiny")
    model = MaskRCNN(keras_pvt.PVTBackbone("pvt_tiny"))
    conversion.load_checkpoint(model, state)
    return state, model


@pytest.fixture(scope="module")
def found(official):
    """Maps, proposals and detections, by one program."""
    _, model = official
    detector = model.detector(padded=True)
    boxes, scores = detector.get_layer("proposals").output
    parts = {"boxes": boxes, "scores": scores, "detections": detector.output}
    pyramid = model.output["pyramid"] | {"P6": model.get_layer("neck_output4").output}
    whole = keras.Model(detector.input, {"pyramid": pyramid, **parts})
    sizes = np.array([[90, 120]], "float32")
    images = recipe.images(HEIGHT, WIDTH, batch=1)
    return as_users(whole, {"images": images, "sizes": sizes})


@pytest.mark.parametrize("level", ["P2", "P3", "P4", "P5", "P6"])
def test_maps_are_the_official_ones(found, golden, level):
    array = found["pyramid"][level]
    assert array.shape == tuple(golden[f"neck/{level}/shape"])
    np.testing.assert_allclose(recipe.sample(array), golden[f"neck/{level}"], rtol=0, atol=5e-5)


def test_proposals_are_the_official_ones(found, golden):
    wanted = golden["proposals"]
    scores, boxes = found["scores"][0], found["boxes"][0]
    count = int((scores >= 0).sum())
    assert count == len(wanted)
    assert not boxes[count:].any()
    same = np.zeros(count)
    order = ranks(scores[:count], same, boxes[:count], wanted[:, 4], same, wanted[:, :4], tie=1e-5)
    # Pixels. A side is the exponential of what the head gives, which makes 1e-6 of a map so much.
    np.testing.assert_allclose(boxes[order], wanted[:, :4], rtol=0, atol=3e-3)
    np.testing.assert_allclose(scores[order], wanted[:, 4], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def heads(official, found, golden):
    """What the second stage says of three boxes."""
    _, model = official
    maps = [ops.convert_to_tensor(found["pyramid"][level]) for level in model.levels]
    boxes = ops.convert_to_tensor(golden["rois"][None, :, 1:].astype("float32"))

    @jitted
    def second_stage(maps, boxes):
        x = {f"roi_features_{n}x{n}": roi_align(maps, boxes, n) for n in (7, 14)}
        x["class_logits"], x["box_deltas"] = model.box_head(maps, boxes)
        classes = ops.convert_to_tensor(np.repeat(MASK_CLASSES, 3)[None])
        masks = model.mask_head(maps, ops.tile(boxes, (1, len(MASK_CLASSES), 1)), classes)
        return x | {"masks": masks}

    found = second_stage(maps, boxes)
    return keras.tree.map_structure(lambda x: ops.convert_to_numpy(x)[0], found)


@pytest.mark.parametrize("name", ["roi_features_7x7", "roi_features_14x14"])
def test_what_boxes_show_is_official(heads, golden, name):
    assert heads[name].shape == tuple(golden[f"{name}/shape"])
    np.testing.assert_allclose(recipe.sample(heads[name]), golden[name], rtol=0, atol=5e-5)


def test_heads_are_the_official_ones(heads, golden):
    np.testing.assert_allclose(heads["class_logits"], golden["class_logits"], rtol=0, atol=3e-5)
    deltas = heads["box_deltas"].reshape(3, -1)
    np.testing.assert_allclose(deltas, golden["box_deltas"], rtol=0, atol=3e-5)


def test_masks_are_the_official_ones(heads, golden):
    """The golden has every k-th value of (boxes, rows, columns, classes)."""
    shape = tuple(golden["mask_logits/shape"])
    assert shape == (3, 28, 28, 80)
    places = recipe.sample(np.arange(np.prod(shape)).reshape(shape))
    box, row, column, of_class = np.unravel_index(places, shape)
    masks = heads["masks"].reshape(len(MASK_CLASSES), 3, 28, 28)
    for number, mask in zip(MASK_CLASSES, masks, strict=True):
        own = of_class == number
        assert own.any()
        ours = mask[box[own], row[own], column[own]]
        np.testing.assert_allclose(ours, golden["mask_logits"][own], rtol=0, atol=3e-5)


def test_detections_are_the_official_ones(found, golden):
    detections = {name: x[0] for name, x in found["detections"].items()}
    assert detections["num_detections"] == 100
    scores, labels, boxes = (detections[name] for name in ("confidence", "labels", "boxes"))
    boxes = boxes / 2  # the network saw the image at twice its size
    wanted = golden["detections"]
    # Through two stages, rounding grows to 1e-4 of a score.
    order = ranks(scores, labels, boxes, wanted[:, 4], golden["labels"], wanted[:, :4], tie=2e-4)
    assert (np.diff(scores) <= 0).all()
    np.testing.assert_array_equal(labels[order], golden["labels"])
    np.testing.assert_allclose(boxes[order], wanted[:, :4], rtol=0, atol=5e-3)
    np.testing.assert_allclose(scores[order], wanted[:, 4], rtol=0, atol=2e-4)
    masks = paste_masks(detections["masks"], boxes, 45, 60)[order]
    pixels = masks.sum(axis=(1, 2))
    np.testing.assert_allclose(pixels, golden["mask_pixels"], atol=2)
    assert pixels.sum() == pytest.approx(golden["mask_pixels"].sum(), rel=0.005)


@pytest.mark.one_backend("counts weights")
@pytest.mark.parametrize("variant", TOTALS)
def test_number_of_weights(variant):
    """512 of the official ones are a row of a position table that nothing reads."""
    model = MaskRCNN(keras_pvt.PVTBackbone(variant))
    assert model.count_params() == TOTALS[variant] - 512


@pytest.mark.one_backend("moves arrays of weights")
def test_the_checkpoint_comes_back(official):
    state, model = official
    back = conversion.to_torch(model)
    assert list(back) == list(state)
    for name, array in state.items():
        if name == "backbone.pos_embed4":  # its first row is not used
            np.testing.assert_array_equal(back[name][:, 1:], array[:, 1:])
        else:
            np.testing.assert_array_equal(back[name], array, err_msg=name)
