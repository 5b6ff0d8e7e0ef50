"""Every system on every backend, small: a training step, its file, and what that answers."""

import keras
import numpy as np
import pytest
import recipe
from conftest import LINEAR, SHALLOW, V2, assert_same, perturb
from contracts import compiled
from keras import ops

import keras_pvt
from keras_pvt.detection import DETR, MaskRCNN, RetinaNet
from keras_pvt.segmentation import PixelCrossentropy, SemanticFPN, Trans2Seg

HEIGHT, WIDTH = 72, 104
CLASSES = 3
BOXES = [[[10.0, 8, 60, 70], [30, 20, 100, 65]], [[5, 9, 40, 33], [0, 0, 0, 0]]]
LABELS = [[2, 0], [1, -1]]
SIZES = [[72, 104], [60, 90]]


def classes():
    return np.array([[0, 0, 1], [1, 0, 0]], "float32")


def boxes(masks=False):
    y = {"boxes": np.array(BOXES, "float32"), "classes": np.array(LABELS, "float32")}
    shape = (2, 2, HEIGHT, WIDTH)
    return y | ({"masks": np.indices(shape).sum(axis=0).astype("uint8") % 2} if masks else {})


def pixels():
    return (np.indices((2, HEIGHT, WIDTH)).sum(axis=0) // 9 % CLASSES).astype("int32")


def classifier(config):
    shape = (None, None, 3)
    return keras_pvt.classifier(
        config, input_shape=shape, classes=CLASSES, classifier_activation=None
    )


def mask_rcnn(config):
    return MaskRCNN(
        keras_pvt.PVTBackbone(config), CLASSES, 12, 16, sampled_anchors=16, sampled_boxes=8,
        compared_anchors=20, proposals=10,
    )  # fmt: skip


def trans2seg(config):
    backbone = keras_pvt.PVTBackbone(config, (HEIGHT, WIDTH, 3))
    return Trans2Seg(backbone, CLASSES, embed_dim=16, depth=1, num_heads=4, head_width=8)


# How each is built, what it learns from, and the loss of those that have none inside.
SYSTEMS = {
    "classifier": (classifier, classes, keras.losses.CategoricalCrossentropy(from_logits=True)),
    "backbone": (keras_pvt.PVTBackbone, None, None),
    "retinanet": (
        lambda config: RetinaNet(keras_pvt.PVTBackbone(config), CLASSES, 12, 1),
        boxes,
        None,
    ),
    "mask_rcnn": (mask_rcnn, lambda: boxes(masks=True), None),
    "detr": (
        lambda config: DETR(keras_pvt.PVTBackbone(config), CLASSES, 9, 16, 1, 2, 24, drop_rate=0.0),
        boxes,
        None,
    ),
    "semantic_fpn": (
        lambda config: SemanticFPN(keras_pvt.PVTBackbone(config), CLASSES, 16, 8),
        pixels,
        PixelCrossentropy(),
    ),
    "trans2seg": (trans2seg, pixels, PixelCrossentropy()),
}
HEADS = pytest.mark.one_backend(
    "the heads are those on PVT, and test_pvt_v2.py has the backbone", full=True
)
FAMILIES = [
    SHALLOW,
    pytest.param(V2, marks=HEADS),
    pytest.param(LINEAR, marks=[HEADS, pytest.mark.full("as with reduced attention")]),
]


def arrays(model):
    """All but the states of random numbers, which Keras neither writes nor reads."""
    return {
        v.path: np.array(ops.convert_to_numpy(v.value))
        for v in model.variables
        if "seed_generator" not in v.path
    }


# Of Trans2Seg's last block most is there for official checkpoints only.
@pytest.mark.filterwarnings("ignore:Gradients do not exist for variables .'decoder0:UserWarning")
@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("config", FAMILIES, ids=["pvt", "pvt_v2", "pvt_v2_li"])
def test_a_step_is_taken_and_kept(config, system, tmp_path):
    build, labels, loss = SYSTEMS[system]
    model = build(config)
    perturb(model)
    images = recipe.images(HEIGHT, WIDTH)
    x = {"images": images, "sizes": np.array(SIZES, "int32")} if system == "detr" else images
    if labels is not None:
        take_a_step(system, model, x, labels(), loss)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    if system != "classifier":  # a plain functional model's, whose nodes Keras numbers anew
        assert loaded.get_config() == model.get_config()
    assert_same(arrays(loaded), arrays(model))
    answers = [keras.tree.flatten(compiled(one)(x)) for one in (model, loaded)]
    for pair in zip(*answers, strict=True):
        ours, theirs = map(ops.convert_to_numpy, pair)
        assert np.isfinite(ours).all()
        np.testing.assert_allclose(theirs, ours, rtol=1e-5, atol=1e-5)


def take_a_step(system, model, x, labels, loss):
    frozen = keras.backend.backend() == "jax" and system != "classifier"
    for layer in model.layers:  # whose gradient JAX compiles for longer than all the rest
        layer.trainable = not (frozen and layer.name.startswith("stage"))
    before = arrays(model)
    model.compile(keras.optimizers.SGD(1e-2), **({} if loss is None else {"loss": loss}))
    logs = model.train_on_batch(x, labels, return_dict=True)
    assert np.isfinite(list(logs.values())).all()
    assert logs["loss"] > 0
    after = arrays(model)
    moved = {v.path for v in model.trainable_variables if (after[v.path] != before[v.path]).any()}
    assert all(np.isfinite(array).all() for array in after.values())
    # Not all: what a softmax does not see, and what no box of these few is about.
    assert len(moved) > 0.75 * len(model.trainable_variables)
    for part in () if frozen else ("stage1_patch_embedding", "stage1_block0", "stage4_block0"):
        assert any(path.startswith(part) for path in moved), part
