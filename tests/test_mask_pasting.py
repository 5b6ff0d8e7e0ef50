"""Masks laid on images, next to a pixel at a time."""

import math

import numpy as np
import pytest

from keras_pvt.detection.ops.masks import paste_masks

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

HEIGHT, WIDTH = 23, 31
BOXES = {
    "inside": (3.3, 4.8, 20.1, 15.2),
    "smaller than a pixel": (7.6, 8.7, 7.9, 9.2),
    "flat": (0.0, 5.1, 31.0, 5.9),
    "the whole image": (0.0, 0.0, 31.0, 23.0),
    "beyond the image": (-40.5, -7.0, 12.25, 60.0),
    "outside": (40.0, 3.0, 50.0, 9.0),
}


def pixel(mask, box, x, y):
    """The mask at a point of the image: bilinear, with zeros around it."""
    x1, y1, x2, y2 = box
    v = (y - y1) / (y2 - y1) * mask.shape[0] - 0.5
    u = (x - x1) / (x2 - x1) * mask.shape[1] - 0.5
    total = 0.0
    for row in (math.floor(v), math.floor(v) + 1):
        for column in (math.floor(u), math.floor(u) + 1):
            if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]:
                total += mask[row, column] * (1 - abs(v - row)) * (1 - abs(u - column))
    return total


@pytest.mark.parametrize("threshold", [0.5, 0.2])
def test_every_pixel_is_what_the_definition_says(rng, threshold):
    masks = rng.random((len(BOXES), 5, 7)).astype("float32")
    pasted = paste_masks(masks, np.array(list(BOXES.values())), HEIGHT, WIDTH, threshold)
    assert pasted.shape == (len(BOXES), HEIGHT, WIDTH)
    assert pasted.dtype == bool
    counts = {}
    for name, found, mask, box in zip(BOXES, pasted, masks, BOXES.values(), strict=True):
        wanted = [
            [pixel(mask, box, x + 0.5, y + 0.5) >= threshold for x in range(WIDTH)]
            for y in range(HEIGHT)
        ]
        np.testing.assert_array_equal(found, wanted, err_msg=name)
        counts[name] = found.sum()
    assert counts["outside"] == 0
    assert 0 < counts["inside"] < counts["the whole image"] < HEIGHT * WIDTH


def test_a_full_mask_covers_its_box():
    """Of a pixel with its middle on an edge half is seen, on a corner a quarter."""
    boxes = [[3, 4, 9, 11], [3.5, 4.5, 9.5, 11.5], [3.6, 4.6, 9.4, 11.4]]
    pasted = paste_masks(np.ones((3, 28, 28)), boxes, HEIGHT, WIDTH)
    assert pasted.sum(axis=(1, 2)).tolist() == [6 * 7, 7 * 8 - 4, 5 * 6]
    assert pasted[0, 4:11, 3:9].all()


def test_nothing_to_paste_and_bad_arguments():
    assert paste_masks(np.zeros((0, 28, 28)), np.zeros((0, 4)), 5, 6).shape == (0, 5, 6)
    none = [[4, 4, 4, 9], [5, 9, 8, 3], [0, 0, np.nan, 5], [0, 0, np.inf, 5]]
    assert not paste_masks(np.ones((4, 28, 28)), none, HEIGHT, WIDTH).any()
    with pytest.raises(ValueError, match=r"boxes \(N, 4\)"):
        paste_masks(np.zeros((2, 28, 28)), np.zeros((3, 4)), 5, 6)
    with pytest.raises(ValueError, match="threshold"):
        paste_masks(np.zeros((1, 28, 28)), np.zeros((1, 4)), 5, 6, threshold=0)
