"""Outlines as COCO writes them: what is one, and which pixels it has."""

import json

import numpy as np
import pytest
from detection_data import write_set

from keras_pvt.detection.data.coco import load_coco
from keras_pvt.detection.data.segmentations import area_of, checked, mask, run_lengths

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

SIZE = (6, 8)  # height, width
SQUARE = [2, 1, 5, 1, 5, 4, 2, 4]  # columns 2 to 4, rows 1 to 3
RUNS = {"size": list(SIZE), "counts": [13, 3, 3, 3, 3, 3, 20]}


def pixels():
    array = np.zeros(SIZE, "uint8")
    array[1:4, 2:5] = 1
    return array


@pytest.mark.parametrize(
    "bad",
    [
        None,
        3,
        "square",
        [],
        [[1, 2, 3, 4]],  # two corners
        [[1, 2, 3, 4, 5]],  # an x without its y
        [[1, 2, 3, 4, 5, float("nan")]],
        [SQUARE, [1, 2]],
        [["a"] * 6],
        SQUARE,  # not in a list
        {},
        {"size": [8, 6], "counts": RUNS["counts"]},  # of another image
        {"size": list(SIZE), "counts": [13, 3]},
        {"size": list(SIZE), "counts": [13, -3, 38]},
        {"size": 48, "counts": RUNS["counts"]},
        {"size": list(SIZE), "counts": None},
    ],
)
def test_what_is_no_outline(bad):
    assert checked(bad, SIZE) is None


def test_polygons_count_together():
    outline = checked([SQUARE, [0, 0, 1, 0, 1, 1, 0, 1]], SIZE)
    expected = pixels()
    expected[0, 0] = 1
    np.testing.assert_array_equal(mask(outline, SIZE), expected)


def test_run_lengths_go_down_the_columns_and_come_back():
    outline = checked(RUNS, SIZE)
    np.testing.assert_array_equal(mask(outline, SIZE), pixels())
    (runs,) = run_lengths([pixels() > 0])
    assert json.loads(json.dumps(runs)) == runs
    assert area_of(runs) == 9
    np.testing.assert_array_equal(mask(checked(runs, SIZE), SIZE), pixels())


def test_objects_without_an_outline_are_left_out(tmp_path, rng):
    file = write_set(tmp_path, 3, rng, masks=True)
    content = json.loads(file.read_text())
    del content["annotations"][0]["segmentation"]
    content["annotations"][3]["segmentation"] = [[1, 2, 3]]
    file.write_text(json.dumps(content))
    data = load_coco(file, tmp_path / "images", masks=True)
    assert [len(one.segmentations) for one in data.samples] == [1, 1, 2]
    assert [one.labels.tolist() for one in data.samples] == [[1], [0], [0, 1]]
    assert data.report.counts == {"object without an outline, polygons or run lengths": 2}
    for one in data.samples:
        for box, outline in zip(one.boxes.astype(int), one.segmentations, strict=True):
            found = mask(outline, (one.height, one.width))
            assert found.sum() == (box[2] - box[0]) * (box[3] - box[1])
    assert all(not one.segmentations for one in load_coco(file, tmp_path / "images").samples)
