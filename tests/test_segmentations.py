"""Outlines as COCO writes them: what is one, and which pixels it has."""

import json

import numpy as np
import pytest
from detection_data import write_set

from keras_pvt.detection.data.coco import load_coco
from keras_pvt.detection.data.segmentations import OutlineError, area_of, checked, mask, run_lengths

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
        {"size": list(SIZE), "counts": []},
        [[10**400] * 6],
        [[2, 1, 17, 1, 5, 4]],  # farther out of the image than its width
    ],
)
def test_what_is_no_outline(bad):
    with pytest.raises(OutlineError):
        checked(bad, SIZE)


# In these strings "0" to "?" are runs of 0 to 15 pixels, "`1" is one of 48, and "F" one of 10 less
# than the run before the last.
@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ("0", "do not fill"),  # a run of no pixel
        ("=33", "do not fill"),  # 19 pixels
        ("a1", "do not fill"),  # 49 pixels, one more than there are
        ("", "cannot be read"),
        ("`", "cannot be read"),  # another digit was to follow
        ("`1 ", "cannot be read"),
        ("`1\u20ac", "cannot be read"),
        ("@", "cannot be read"),  # a run of -16
        ("=33F", "cannot be read"),  # 3 - 10 pixels
        ("oooooo0", "cannot be read"),  # more digits than the largest image needs
    ],
)
def test_strings_of_run_lengths_are_counted(counts, words):
    for form in (counts, counts.encode()):
        with pytest.raises(OutlineError, match=words):
            checked({"size": list(SIZE), "counts": form}, SIZE)


@pytest.mark.parametrize("size", [(6, 8), (61, 97), (300, 400)])
def test_strings_of_pycocotools_are_read(size, rng):
    """From single pixels to one run, of which the first may be empty."""
    for share in (0.0, 1e-4, 0.05, 0.5, 0.999, 1.0):
        pixels = rng.random(size) < share
        (runs,) = run_lengths([pixels])
        np.testing.assert_array_equal(mask(checked(runs, size), size), pixels)
        with pytest.raises(OutlineError, match="another size"):
            checked(runs, size[::-1])
        larger = (size[0], size[1] + 1)
        with pytest.raises(OutlineError, match="do not fill"):
            checked({**runs, "size": larger}, larger)


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
    content["annotations"][5]["segmentation"]["counts"] = "0"  # of the blue bar: 0 of its pixels
    file.write_text(json.dumps(content))
    data = load_coco(file, tmp_path / "images", masks=True)
    assert [len(one.segmentations) for one in data.samples] == [1, 1, 1]
    assert [one.labels.tolist() for one in data.samples] == [[1], [0], [0]]
    assert data.report.counts == {
        "object without an outline, polygons or run lengths": 1,
        "polygon that is not three or more corners, x and y in turn": 1,
        "run lengths that do not fill their image": 1,
    }
    for one in data.samples:
        for box, outline in zip(one.boxes.astype(int), one.segmentations, strict=True):
            found = mask(outline, (one.height, one.width))
            assert found.sum() == (box[2] - box[0]) * (box[3] - box[1])
    assert all(not one.segmentations for one in load_coco(file, tmp_path / "images").samples)
