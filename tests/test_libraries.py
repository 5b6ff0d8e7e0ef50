"""RetinaNets of both libraries: anchors, initial heads, losses of a like size."""

import keras
import numpy as np
import pytest
from conftest import TINY

from keras_pvt import PVTBackbone
from keras_pvt.detection.data.samples import DetectionSet, Sample
from keras_pvt.detection.libraries import LABEL_KEYS, best_possible_recall, retinanet
from keras_pvt.utils.data_report import DataReport

pytestmark = pytest.mark.one_backend("libraries have tests of backends themselves", full=True)

SIZE = (64, 96)


@pytest.fixture(scope="module", params=LABEL_KEYS)
def built(request):
    """Library, model and losses, with anchors from 16 pixels on; in half precision."""
    pytest.importorskip(request.param)
    backbone = PVTBackbone(
        TINY, input_shape=(*SIZE, 3), include_preprocessing=True, dtype="mixed_bfloat16"
    )
    keras.config.set_dtype_policy("mixed_bfloat16")
    model, losses = retinanet(request.param, backbone, 3, anchor_size=16)
    keras.config.set_dtype_policy("float32")
    return request.param, model, losses


def anchors_of(model):
    levels = model.anchor_generator(keras.ops.zeros((*SIZE, 3)))
    return [keras.ops.convert_to_numpy(level) for level in levels.values()]


def test_anchors_have_the_sizes_of_the_paper(built):
    levels = anchors_of(built[1])
    assert [len(level) for level in levels] == [9 * n for n in (8 * 12, 4 * 6, 2 * 3, 2, 1)]
    first = levels[0]
    assert first.dtype == "float32"
    whole = (first.min(axis=1) > 0) & (first[:, 2] < SIZE[1]) & (first[:, 3] < SIZE[0])
    sides = first[whole, 2:] - first[whole, :2]
    # KerasHub rounds to pixels.
    wanted = {16 * 2 ** (n / 3) for n in range(3)}
    areas = np.sqrt(sides.prod(axis=1))
    assert all(min(abs(area - side) for side in wanted) < 1.6 for area in areas)
    ratios = sides[:, 0] / sides[:, 1]
    assert all(min(abs(ratio - r) for r in (0.5, 1, 2)) < 0.25 for ratio in ratios)


def test_at_first_nothing_is_believed(built):
    library, model, _ = built
    images = np.random.default_rng(0).uniform(0, 255, (2, *SIZE, 3)).astype("float32")
    outputs = model({"images": images} if library == "keras_cv" else images)
    logits = outputs["classification" if library == "keras_cv" else "cls_logits"]
    scores = keras.ops.convert_to_numpy(keras.ops.sigmoid(keras.ops.cast(logits, "float32")))
    assert 0.003 < np.median(scores) < 0.03


def test_losses_see_boxes_and_classes(built):
    """Right outputs cost nothing; wrong ones the more, the more they are wrong."""
    library, model, losses = built
    model.compile(optimizer="sgd", **losses)
    boxes = np.array([[[4, 4, 36, 36], [40, 20, 70, 50], [0, 0, 0, 0]]], "float32")
    classes = np.array([[2, 0, -1]], "float32")
    y = {"boxes": boxes, LABEL_KEYS[library]: classes}
    images = np.zeros((1, *SIZE, 3), "float32")
    if library == "keras_cv":
        deltas, labels = model.label_encoder(images, {"boxes": boxes, "classes": classes})
        names = "box", "classification"
    else:
        deltas, labels = model.label_encoder(images, boxes, classes)
        names = "bbox_regression", "cls_logits"
    labels = keras.ops.convert_to_numpy(labels)[0]
    assert {*np.unique(labels)} == {-2, -1, 0, 2}
    right = np.where(labels[:, None] == np.arange(3), 12.0, -12.0)[None].astype("float32")

    def loss(deltas, logits):
        outputs = dict(zip(names, (deltas, keras.ops.array(logits)), strict=True))
        return float(model.compute_loss(x=images, y=y, y_pred=outputs, sample_weight=None))

    assert loss(deltas, right) == pytest.approx(0, abs=1e-4)
    moved = [loss(deltas + shift, right) for shift in (0.05, 0.5)]
    assert 0 < moved[0] < moved[1]
    assert loss(deltas, -right) > loss(deltas, 0 * right) > 0.1


def test_shares_of_boxes_that_fit(built):
    boxes = np.array([[4, 4, 36, 36], [30, 10, 34, 14], [40, 20, 70, 52]], "float32")
    sample = Sample("", *SIZE, boxes, np.array([0, 1, 1]), np.ones(3, "float32"), np.zeros(3, bool))
    data = DetectionSet(["fits", "half", "none"], [sample], DataReport())
    shares = best_possible_recall(built[1], data, SIZE)
    assert (shares["fits"], shares["half"]) == (1, 0.5)  # 4 x 4 pixels fit nothing
    assert np.isnan(shares["none"])


def test_wrong_libraries_and_backbones_are_named():
    backbone = PVTBackbone("pvt_nano", weights=None)
    with pytest.raises(ValueError, match="'keras_ocr'; there are keras_cv, keras_hub"):
        retinanet("keras_ocr", backbone, 3)
    with pytest.raises(ValueError, match=r"levels P3 to P5.*pvt_nano has no P5"):
        retinanet("keras_cv", backbone, 3)
