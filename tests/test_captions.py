"""Captions of boxes: beside the objects, and not on one another."""

import numpy as np
import pytest

from keras_pvt.detection.box_drawing import draw_boxes
from keras_pvt.detection.captions import MOST_HIDDEN, places

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

FILLS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], "uint8")


@pytest.mark.parametrize(
    "boxes",
    [
        [[20, 0, 30, 10]],  # nothing fits above it
        [[50, 2, 62, 12], [50, 14, 62, 24]],  # in a corner, one below the other
        [[4, 30, 16, 42], [18, 30, 30, 42], [11, 17, 23, 29]],  # close together
        [[0, 54, 9, 64], [30, 54, 40, 64]],
    ],
)
def test_small_objects_stay_visible(boxes):
    """Inside a line of a pixel they are as they were; each has its caption."""
    image = np.random.default_rng(0).integers(0, 100, (64, 64, 3)).astype("uint8")
    texts = ["disc 9%"] * len(boxes)
    drawn = np.asarray(draw_boxes(image, np.array(boxes), FILLS[: len(boxes)], texts))
    outside = np.ones((64, 64), bool)
    for x1, y1, x2, y2 in boxes:
        inside = (slice(y1 + 1, y2 - 1), slice(x1 + 1, x2 - 1))
        np.testing.assert_array_equal(drawn[inside], image[inside])
        outside[y1:y2, x1:x2] = False
    for fill in FILLS[: len(boxes)]:
        assert ((drawn == fill).all(axis=-1) & outside).sum() > 50, "a box without caption"


def test_a_caption_is_beside_its_box():
    (place,) = places([[100, 100, 140, 130]], [(50, 12)], (400, 300))
    assert place == (100, 88)
    (place,) = places([[100, 3, 140, 30]], [(50, 12)], (400, 300))
    assert place == (100, 30)
    (place,) = places([[380, 100, 400, 130]], [(50, 12)], (400, 300))
    assert place == (350, 88)


def test_a_large_object_has_its_caption_inside():
    (place,) = places([[0, 0, 200, 150]], [(50, 12)], (200, 150))
    assert place == (0, 0)


def test_what_has_no_room_is_left_out():
    assert places([[2, 2, 22, 22]], [(40, 12)], (24, 24)) == [None]  # wider than the picture
    assert places([[2, 2, 22, 22]], [(20, 12)], (24, 24)) == [None]  # hides half of it
    assert places([[2, 2, 22, 22]], [None], (240, 240)) == [None]
    assert places(np.zeros((0, 4)), [], (24, 24)) == []


def test_crowds(rng):
    """No caption hides more than it may of a box, lies on another or leaves the picture."""
    placed = left_out = 0
    for _ in range(50):
        corner = rng.uniform(0, 280, (30, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(4, 60, (30, 2))], axis=1).clip(0, 300)
        sizes = [(int(width), 12) for width in rng.integers(20, 90, 30)]
        canvas = np.zeros((300, 300), int)
        for place, (width, height) in zip(places(boxes, sizes, (300, 300)), sizes, strict=True):
            left_out += place is None
            if place is None:
                continue
            placed += 1
            left, top = place
            assert min(place) >= 0
            assert max(left + width, top + height) <= 300
            canvas[top : top + height, left : left + width] += 1
            for x1, y1, x2, y2 in boxes:
                across = max(0, min(x2, left + width) - max(x1, left))
                down = max(0, min(y2, top + height) - max(y1, top))
                assert across * down <= MOST_HIDDEN * max(1, (x2 - x1) * (y2 - y1)) + 1e-9
        assert canvas.max() == 1
    assert placed > 500
    assert left_out > 0
