"""Our detectors with labels and images that are bad, or many."""

import dataclasses

import numpy as np
import pytest
import recipe
from conftest import TINY
from keras import ops

import keras_pvt
from keras_pvt.detection import DETR, MaskRCNN, RetinaNet

pytestmark = pytest.mark.one_backend(
    "the same arithmetic; compiling each loss takes long", full=True
)

HEIGHT, WIDTH = 72, 104
CONFIG = dataclasses.replace(TINY, depths=(1, 1, 1, 1))
NONE = np.zeros((2, 0, 4))
FEW = np.array([[[10, 8, 60, 70], [30, 20, 100, 65]]] * 2)
GOOD, NAN = [10, 8, 60, 70], [np.nan] * 4
LABELS = {
    "no object": (NONE, None),
    "padding only": (FEW, -1),
    "one object": (FEW[:, :1], None),
    "without area": (np.array([[GOOD, [20, 20, 20, 50]], [GOOD, [50, 50, 20, 20]]]), None),
    "out of frame": (np.array([[GOOD, [-50, -50, 300, 300]], [GOOD, [200, 90, 260, 130]]]), None),
    "not a number": (np.array([[GOOD, NAN], [GOOD, [0, 0, np.inf, 9]]]), None),
}


def build(system):
    backbone = keras_pvt.PVTBackbone(CONFIG)
    if system is RetinaNet:
        return RetinaNet(backbone, 3, 12, 1)
    if system is MaskRCNN:
        return MaskRCNN(backbone, 3, 12, 16, sampled_anchors=16, sampled_boxes=8,
                        compared_anchors=20, proposals=10)  # fmt: skip
    return DETR(backbone, 3, 30, 16, 1, 2, 24, padded=False)


@pytest.fixture(scope="module", params=[RetinaNet, MaskRCNN, DETR], ids=lambda one: one.__name__)
def model(request):
    return build(request.param)


def losses(model, boxes, classes=None):
    boxes = np.asarray(boxes, "float32")
    if classes is None:
        classes = np.arange(boxes.shape[1]) % 3
    classes = np.broadcast_to(np.float32(classes), boxes.shape[:2])
    masks = np.zeros((*boxes.shape[:2], HEIGHT, WIDTH), "uint8")
    y = {"boxes": boxes, "classes": classes, "masks": masks}
    x = ops.convert_to_tensor(recipe.images(HEIGHT, WIDTH))
    y = {name: ops.convert_to_tensor(array) for name, array in y.items()}
    parts = model.loss_parts(x, y, model(x))
    return np.array([float(ops.convert_to_numpy(part)) for part in parts])


@pytest.mark.parametrize("kind", LABELS)
def test_losses_are_numbers_whatever_the_boxes(model, kind):
    assert np.isfinite(losses(model, *LABELS[kind])).all()


@pytest.mark.one_backend("more of the same, and on JAX a minute to compile")
def test_many_objects(model, rng):
    """A thousand; of more than it has queries, DETR is asked for those that it is next to."""
    corners = np.sort(rng.uniform(0, HEIGHT, (2, 1000, 2, 2)), axis=2).reshape(2, 1000, 4)
    assert np.isfinite(losses(model, corners)).all()


def test_images_that_are_no_numbers_show_nothing(model):
    images = recipe.images(HEIGHT, WIDTH)
    images[1, 5, 5] = np.nan
    found = model.detector().predict_on_batch(images)
    assert all(np.isfinite(value).all() for value in found.values())
    assert found["num_detections"][1] == 0


def test_a_checkpoint_of_another_model_is_told(model):
    from keras_pvt import conversion

    state = recipe.dense_state_dict("semantic_fpn_pvt_tiny")
    before = model.get_weights()
    with pytest.raises(ValueError, match="this is a semantic_fpn checkpoint"):
        conversion.load_checkpoint(model, state)
    for ours, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, old)


def test_masks_are_needed_where_there_is_a_mask_head():
    model = build(MaskRCNN)
    model.compile("sgd")
    y = {"boxes": FEW.astype("float32"), "classes": np.zeros((2, 2), "float32")}
    with pytest.raises(ValueError, match='labels need "masks"'):
        model.train_on_batch(recipe.images(HEIGHT, WIDTH), y)
