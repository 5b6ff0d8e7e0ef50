"""Overlays of classes, their legends and sheets."""

import numpy as np
import pytest
from PIL import Image

from keras_pvt.segmentation import drawing
from keras_pvt.utils.colours import colours
from keras_pvt.utils.drawing import GAP, WIDTH

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")

CLASSES = ["sky", "road", "car"]


@pytest.fixture
def image(rng):
    return rng.integers(0, 256, (40, 60, 3)).astype("uint8")


@pytest.fixture
def labels():
    """Half road, a third car, a sixth ignored; no sky."""
    labels = np.ones((40, 60), "uint8")
    labels[:, 30:50], labels[:, 50:] = 2, 255
    return labels


def test_overlay(image, labels):
    red, green = colours(CLASSES)[[1, 2]].astype(int)
    found = np.asarray(drawing.overlay(image, labels, CLASSES, alpha=0.25)).astype(int)
    np.testing.assert_allclose(found[:, :30], 0.75 * image[:, :30] + 0.25 * red, atol=1)
    np.testing.assert_allclose(found[:, 30:50], 0.75 * image[:, 30:50] + 0.25 * green, atol=1)
    np.testing.assert_array_equal(found[:, 50:], image[:, 50:])
    np.testing.assert_array_equal(np.asarray(drawing.overlay(image, labels, CLASSES, 0)), image)
    with pytest.raises(ValueError, match=r"\(40, 60\); got \(60, 40\)"):
        drawing.overlay(image, labels.T, CLASSES)


def test_the_background_is_not_filled(image, labels):
    """Nor are numbers that are no class; the legend has an empty patch for it."""
    classes = ["sky", "_background_", "car"]
    picture = np.asarray(drawing.draw_labels(image, labels, classes, alpha=1))
    np.testing.assert_array_equal(picture[:40, :30], image[:, :30])
    assert (picture[:40, 30:50] == colours(classes)[2]).all()
    np.testing.assert_array_equal(picture[:40, 50:60], image[:, 50:])
    key = picture[40 + GAP :].reshape(-1, 3)
    for number, filled in enumerate((False, False, True)):
        assert (key == colours(classes)[number]).all(axis=1).any() == filled
    rows = (picture[40 + GAP :, 8:12] == (128, 128, 128)).all(axis=-1).any(axis=1)
    assert rows.sum() == 4  # upper and lower edges of two patches


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
def test_more_classes_than_a_byte_holds(image, dtype):
    classes = [str(number) for number in range(300)]
    labels = np.full((40, 60), 300 if dtype != "uint8" else 255).astype(dtype)
    labels[:, :30], labels[0, 0] = 7, 254
    drawn = np.asarray(drawing.overlay(image, labels, classes, alpha=1))
    assert (drawn[1:, :30] == colours(classes)[7]).all()
    assert (drawn[0, 0] == colours(classes)[254]).all()
    if dtype == "uint8":  # where 255 is one of them
        assert (drawn[:, 30:] == colours(classes)[255]).all()
    else:
        np.testing.assert_array_equal(drawn[:, 30:], image[:, 30:])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
def test_shares(labels, dtype):
    found = drawing.shares(labels.astype(dtype), CLASSES)
    assert list(found) == [1, 2]
    assert list(found.values()) == pytest.approx([1 / 2, 1 / 3])


def test_legend_has_each_class(image, labels):
    picture = np.asarray(drawing.draw_labels(image, labels, CLASSES, alpha=1))
    key = picture[40 + GAP :].reshape(-1, 3)
    for number, there in enumerate((False, True, True)):
        assert (key == colours(CLASSES)[number]).all(axis=1).any() == there
    text = ((key < 100).all(axis=1)).sum()
    assert text > 30


def test_legend_parts_names_and_shares(image, labels, monkeypatch):
    seen = []
    drawn = drawing.legend
    monkeypatch.setattr(drawing, "legend", lambda *words: seen.append(words[0]) or drawn(*words))
    drawing.draw_labels(image, labels, ["0", "1", "2"])
    assert seen == [{1: "1: 50.0%", 2: "2: 33.3%"}]


def test_legend_fits_its_width():
    classes = [f"class {n}" for n in range(40)]
    names = dict(enumerate(classes))
    narrow, wide = (np.asarray(drawing.legend(names, classes, width)) for width in (90, 900))
    assert len(narrow) > 3 * len(wide)
    for picture in (narrow, wide):
        assert (picture[:, -1] == 255).all(), "text that is cut off"
        there = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
        assert there >= {tuple(colour) for colour in colours(classes).tolist()}


def test_sheet(image, labels, tmp_path):
    path = tmp_path / "sheet.png"
    wrong = np.zeros_like(labels)
    drawing.draw_sheet([(image, labels, wrong)] * 2, CLASSES, path, alpha=1)
    picture = np.asarray(Image.open(path))
    height = round(WIDTH * 40 / 60)
    assert picture.shape[1] == 3 * WIDTH + 2 * GAP
    tiles = [
        picture[:height, start : start + WIDTH] for start in (0, WIDTH + GAP, 2 * WIDTH + 2 * GAP)
    ]
    assert abs(tiles[0].mean() - image.mean()) < 3
    np.testing.assert_array_equal(
        tiles[1][5:-5, 5:100], np.broadcast_to(colours(CLASSES)[1], (height - 10, 95, 3))
    )
    np.testing.assert_array_equal(
        tiles[2][5:-5, 5:100], np.broadcast_to(colours(CLASSES)[0], (height - 10, 95, 3))
    )
    assert len(picture) > 2 * height + 2 * GAP, "no legend"
