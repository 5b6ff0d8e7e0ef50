"""Suppression against a plain greedy one in NumPy, with pycocotools' overlaps."""

import keras
import numpy as np
import pytest
from test_boxes import as_numpy, as_xywh, random_boxes

from keras_pvt.detection import NonMaxSuppression

mask = pytest.importorskip("pycocotools.mask")


def greedy(boxes, scores, iou_threshold, confidence_threshold, max_detections):
    """(score, class, index of box) of what remains of one image, the best first."""
    usable = np.isfinite(boxes).all(axis=1)
    usable &= (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    found = []
    for label in range(scores.shape[1]):
        above = usable & (scores[:, label] > confidence_threshold)
        left = sorted(np.flatnonzero(above), key=lambda i, label=label: -scores[i, label])
        while left:
            best, *rest = left
            found.append((scores[best, label], label, best))
            overlap = mask.iou(as_xywh(boxes[rest]), as_xywh(boxes[[best]]), np.zeros(1, "uint8"))
            left = [
                i for i, iou in zip(rest, np.ravel(overlap), strict=True) if iou <= iou_threshold
            ]
    return sorted(found, reverse=True)[:max_detections]


def suppress(boxes, scores, image_shape=None, **options):
    """The layer's answer as NumPy, for one image as for several."""
    options = {
        "bounding_box_format": "xyxy",
        "from_logits": False,
        "max_detections": 60,
        "max_candidates": 240,
        **options,
    }
    single = np.ndim(boxes) == 2
    boxes, scores = (np.array(x, "float32")[None if single else ...] for x in (boxes, scores))
    # Of one shape, as JAX compiles for each; what has a NaN is never found.
    images, count, classes = scores.shape
    boxes = np.pad(boxes, ((0, 2 - images), (0, 80 - count), (0, 0)), constant_values=np.nan)
    scores = np.pad(
        scores, ((0, 2 - images), (0, 80 - count), (0, 4 - classes)), constant_values=np.nan
    )
    tensors = map(keras.ops.convert_to_tensor, (boxes, scores))
    answer = NonMaxSuppression(**options)(*tensors, image_shape=image_shape)
    return {name: as_numpy(x)[0] if single else as_numpy(x) for name, x in answer.items()}


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("iou_threshold", [0.0, 0.3, 0.7])
def test_random_boxes(rng, classes, iou_threshold):
    boxes = random_boxes(rng, 2, 80)
    scores = rng.uniform(0, 1, (2, 80, classes)).astype("float32")
    boxes[0, 3, 1], boxes[0, 5, 2], boxes[1, 7, 0] = np.nan, np.inf, -np.inf
    boxes[1, 9, 2:] = boxes[1, 9, :2]  # no area
    boxes[1, 11] = boxes[1, 11, [2, 3, 0, 1]]  # corners in the wrong order
    scores[0, 13, 0] = np.nan
    answer = suppress(
        boxes, scores, iou_threshold=iou_threshold, confidence_threshold=0.2, max_detections=60
    )
    for image in range(2):
        expected = greedy(boxes[image], scores[image], iou_threshold, 0.2, 60)
        count = answer["num_detections"][image]
        assert count == len(expected)
        confidence, labels, index = zip(*expected, strict=True)
        np.testing.assert_array_equal(answer["confidence"][image, :count], confidence)
        np.testing.assert_array_equal(answer["classes"][image, :count], labels)
        np.testing.assert_array_equal(answer["boxes"][image, :count], boxes[image, list(index)])
        assert (answer["boxes"][image, count:] == 0).all()
        assert (answer["classes"][image, count:] == -1).all()
        assert (answer["confidence"][image, count:] == 0).all()
    np.testing.assert_array_equal(answer["labels"], answer["classes"])
    assert answer["classes"].dtype == answer["num_detections"].dtype == "int32"


def test_touching_nested_and_identical_boxes():
    boxes = [(0, 0, 8, 8), (8, 0, 16, 8), (0, 0, 8, 8), (2, 2, 6, 6), (0, 0, 8, 4)]
    scores = np.array([[0.9], [0.8], [0.7], [0.6], [0.5]])
    answer = suppress(boxes, scores)
    # The last has an overlap of exactly 0.5, which does not exceed the threshold.
    assert answer["boxes"][:4].tolist() == [[0, 0, 8, 8], [8, 0, 16, 8], [2, 2, 6, 6], [0, 0, 8, 4]]
    assert answer["num_detections"] == 4
    assert suppress(boxes, scores, iou_threshold=1.0)["num_detections"] == 5


def test_equal_scores_leave_one_of_identical_boxes():
    answer = suppress(np.tile([2.0, 3, 9, 9], (40, 1)), np.full((40, 1), 0.5))
    assert answer["num_detections"] == 1
    assert answer["boxes"][0].tolist() == [2, 3, 9, 9]


def test_a_long_chain():
    """Each box beats the next only, so that what stays is every second one, to the end."""
    left = np.arange(60.0)
    boxes = np.stack([left, 0 * left, left + 3, 0 * left + 5], axis=1)  # IoU 0.5, then 0.2
    scores = np.linspace(0.9, 0.3, 60)[:, None]
    answer = suppress(boxes, scores, iou_threshold=0.4, max_detections=60)
    assert answer["boxes"][:30, 0].tolist() == left[::2].tolist()
    assert answer["num_detections"] == 30


def test_a_box_can_be_of_two_classes_and_classes_do_not_affect_each_other():
    boxes = [(0, 0, 8, 8), (0, 0, 8, 9)]
    answer = suppress(boxes, [(0.9, 0.1), (0.5, 0.7)])
    assert answer["classes"][:3].tolist() == [0, 1, -1]  # 0.1 belongs to the overlap of class 1
    np.testing.assert_allclose(answer["confidence"][:3], [0.9, 0.7, 0])


def test_nothing_to_find(rng):
    boxes = random_boxes(rng, 2, 6)
    for scores in (np.zeros((2, 6, 3)), np.full((2, 6, 3), np.nan)):
        answer = suppress(boxes, scores, confidence_threshold=0.0)
        assert answer["num_detections"].tolist() == [0, 0]
        assert (answer["classes"] == -1).all()
        assert not answer["boxes"].any()
    assert suppress(np.full((6, 4), np.nan), np.ones((6, 3)))["num_detections"] == 0


def test_candidates_are_the_best_pairs(rng):
    boxes = random_boxes(rng, 50)
    scores = rng.uniform(0.1, 1, (50, 4)).astype("float32")
    cut = np.sort(scores.ravel())[-12]
    expected = greedy(boxes, np.where(scores >= cut, scores, 0), 0.3, 0.05, 10)
    answer = suppress(boxes, scores, iou_threshold=0.3, max_detections=10, max_candidates=12)
    assert answer["num_detections"] == len(expected)
    np.testing.assert_array_equal(
        answer["confidence"][: len(expected)], [score for score, _, _ in expected]
    )


def test_logits_of_any_precision_give_probabilities(rng):
    boxes = random_boxes(rng, 30)
    logits = np.linspace(-4, 4, 30)[:, None]
    answer = suppress(boxes, logits, from_logits=True, confidence_threshold=0.5)
    sure = suppress(boxes, 1 / (1 + np.exp(-logits)), confidence_threshold=0.5)
    for name in answer:
        np.testing.assert_allclose(answer[name], sure[name], atol=1e-6)
    half = keras.ops.convert_to_tensor(logits[None], "bfloat16")
    layer = NonMaxSuppression("xyxy", confidence_threshold=0.5, dtype="mixed_bfloat16")
    answer = layer(keras.ops.convert_to_tensor(boxes[None] + 1000.1), half)
    found = as_numpy(answer["boxes"])[0, : int(answer["num_detections"][0])]
    assert found.dtype == "float32"
    assert set(found[:, 0]) <= set(boxes[:, 0] + np.float32(1000.1)), "coordinates lost digits"


def test_boxes_are_clipped_to_the_image_before():
    boxes = [(-50, -50, 20, 20), (-5, -5, 20, 20), (200, 10, 300, 50), (90, 40, 130, 70)]
    scores = [[0.9], [0.8], [0.7], [0.6]]
    answer = suppress(boxes, scores, image_shape=(64, 96, 3))
    assert answer["boxes"][:2].tolist() == [[0, 0, 20, 20], [90, 40, 96, 64]]
    assert answer["num_detections"] == 2
    assert suppress(boxes, scores)["num_detections"] == 4
    tensors = [keras.ops.convert_to_tensor(np.array([x], "float32")) for x in (boxes, scores)]
    layer = NonMaxSuppression("xyxy", from_logits=False, max_detections=60)
    by_images = layer(*tensors, images=keras.ops.zeros((1, 64, 96, 3)))
    np.testing.assert_array_equal(as_numpy(by_images["boxes"])[0], answer["boxes"])


@pytest.mark.parametrize("name", ["yxyx", "center_xywh", "rel_yxyx", "rel_xywh"])
def test_answers_come_in_the_format_of_the_boxes(rng, name):
    from keras_pvt.detection.ops.boxes import convert

    boxes = random_boxes(rng, 2, 40)
    scores = rng.uniform(0, 1, (2, 40, 2))
    expected = suppress(boxes, scores, image_shape=(64, 96, 3))
    other = as_numpy(convert(keras.ops.convert_to_tensor(boxes), "xyxy", name, (64, 96)))
    answer = suppress(other, scores, image_shape=(64, 96, 3), bounding_box_format=name)
    np.testing.assert_array_equal(answer["classes"], expected["classes"])
    back = convert(keras.ops.convert_to_tensor(answer["boxes"]), name, "xyxy", (64, 96))
    np.testing.assert_allclose(as_numpy(back), expected["boxes"], atol=1e-4)


def test_in_a_saved_model_with_any_number_of_boxes(rng, tmp_path):
    inputs = [keras.Input((None, 4)), keras.Input((None, 3))]
    layer = NonMaxSuppression("xyxy", False, 0.4, 0.3, max_detections=7, max_candidates=20)
    outputs = layer(*inputs)
    assert outputs["boxes"].shape == (None, 7, 4)
    model = keras.Model(inputs, outputs)
    model.save(tmp_path / "nms.keras")
    model = keras.saving.load_model(tmp_path / "nms.keras", safe_mode=True)
    for count in (2, 30):
        boxes, scores = random_boxes(rng, 2, count), rng.uniform(0, 1, (2, count, 3))
        answer = model.predict([boxes, scores.astype("float32")], verbose=0)
        expected = suppress(
            boxes,
            scores,
            iou_threshold=0.4,
            confidence_threshold=0.3,
            max_detections=7,
            max_candidates=20,
        )
        for name in answer:
            np.testing.assert_array_equal(answer[name], expected[name])


@pytest.mark.one_backend("what is said")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bounding_box_format": "corners"}, "unknown box format 'corners'"),
        ({"iou_threshold": 1.5}, "`iou_threshold` must be from 0 to 1; got 1.5"),
        ({"confidence_threshold": -1}, "`confidence_threshold` must be from 0 to 1; got -1"),
        ({"max_detections": 0}, "`max_detections` must be an integer >= 1; got 0"),
        ({"max_candidates": 50}, "`max_detections` 100 exceeds `max_candidates` 50"),
    ],
)
def test_bad_options_are_said(options, message):
    with pytest.raises(ValueError, match=message):
        NonMaxSuppression(**{"bounding_box_format": "xyxy", **options})
