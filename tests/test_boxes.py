"""Boxes: formats by hand and against Keras, clipping, and overlap against pycocotools."""

import itertools

import keras
import numpy as np
import pytest

from keras_pvt.detection.ops import boxes

# One box in an image of 100 x 200 pixels, in every format.
SIZE = (100, 200)
BOX = {
    "xyxy": (20, 10, 60, 90),
    "xywh": (20, 10, 40, 80),
    "center_xywh": (40, 50, 40, 80),
    "yxyx": (10, 20, 90, 60),
    "yxhw": (10, 20, 80, 40),
    "center_yxhw": (50, 40, 80, 40),
    "rel_xyxy": (0.1, 0.1, 0.3, 0.9),
    "rel_xywh": (0.1, 0.1, 0.2, 0.8),
    "rel_center_xywh": (0.2, 0.5, 0.2, 0.8),
    "rel_yxyx": (0.1, 0.1, 0.9, 0.3),
    "rel_yxhw": (0.1, 0.1, 0.8, 0.2),
    "rel_center_yxhw": (0.5, 0.2, 0.8, 0.2),
}


def as_numpy(x):
    return np.array(keras.ops.convert_to_numpy(x))


def tensor(*rows):
    return keras.ops.convert_to_tensor(np.array(rows, "float32"))


def random_boxes(rng, *shape):
    corner, side = rng.uniform(-20, 80, (*shape, 2)), rng.uniform(1, 60, (*shape, 2))
    return np.concatenate([corner, corner + side], axis=-1).astype("float32")


def test_every_format_is_listed():
    assert set(BOX) == set(boxes.FORMATS)


def test_each_format_into_each():
    for source, target in itertools.product(BOX, BOX):
        converted = boxes.convert(tensor(BOX[source]), source, target, SIZE)
        np.testing.assert_allclose(
            as_numpy(converted), [BOX[target]], rtol=1e-6, err_msg=f"{source} to {target}"
        )


def test_formats_agree_with_keras(rng):
    x = random_boxes(rng, 2, 5)
    for target in ("yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx"):
        theirs = keras.utils.bounding_boxes.convert_format(
            x, source="xyxy", target=target, height=100, width=200
        )
        ours = boxes.convert(keras.ops.convert_to_tensor(x), "xyxy", target, SIZE)
        np.testing.assert_allclose(as_numpy(ours), as_numpy(theirs), rtol=1e-5, atol=1e-5)


def test_an_unknown_format_or_a_missing_size_is_said():
    with pytest.raises(ValueError, match=r"unknown box format 'xxyy'; there are xyxy, xywh"):
        boxes.convert(tensor(BOX["xyxy"]), "xxyy", "xyxy")
    with pytest.raises(ValueError, match=r"'rel_xywh' to 'xyxy' need `image_size`"):
        boxes.convert(tensor(BOX["xyxy"]), "rel_xywh", "xyxy")


def test_clip():
    clipped = boxes.clip(
        tensor(
            (20, 10, 60, 90),
            (-5, -6, 210, 50),
            (250, 10, 260, 20),
            (0, 0, np.nan, 9),
            (-np.inf, 0, 5, 5),
        ),
        SIZE,
    )
    assert as_numpy(clipped).tolist() == [
        [20, 10, 60, 90],
        [0, 0, 200, 50],
        [200, 10, 200, 20],  # outside: no area left
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def test_area():
    x = tensor((0, 0, 3, 4), (5, 5, 5, 9), (5, 5, 2, 1))
    assert as_numpy(boxes.area(x)).tolist() == [12, 0, 0]


def test_iou_is_that_of_pycocotools(rng):
    mask = pytest.importorskip("pycocotools.mask")
    a, b = random_boxes(rng, 2, 7), random_boxes(rng, 2, 5)
    a[1, 3] = b[1, 2]  # identical
    ours = as_numpy(boxes.iou(keras.ops.convert_to_tensor(a), keras.ops.convert_to_tensor(b)))
    assert ours.shape == (2, 7, 5)
    for image in range(2):
        corner_and_size = (as_xywh(x[image]) for x in (a, b))
        theirs = mask.iou(*corner_and_size, np.zeros(5, "uint8"))
        np.testing.assert_allclose(ours[image], theirs, atol=1e-6)
    assert ours[1, 3, 2] == 1


def as_xywh(x):
    return np.concatenate([x[:, :2], x[:, 2:] - x[:, :2]], axis=1).astype("float64")


def test_iou_of_touching_nested_and_empty_boxes():
    one = tensor((0, 0, 4, 4))
    others = tensor((4, 0, 8, 4), (1, 1, 3, 3), (2, 2, 2, 2), (3, 3, 1, 1))
    assert as_numpy(boxes.iou(one, others)).tolist() == [[0, 0.25, 0, 0]]
    empty = tensor((2, 2, 2, 2))
    assert as_numpy(boxes.iou(empty, empty)).tolist() == [[0]]
