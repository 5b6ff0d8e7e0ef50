"""Colours of classes, overlays and sheets."""

import numpy as np
import pytest
from PIL import Image, ImageCms

from keras_pvt.segmentation import drawing
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


def lab(colours):
    """CIELAB by LittleCMS, in its 8 bits."""
    profiles = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
    picture = Image.fromarray(colours[None])
    found = ImageCms.profileToProfile(picture, *profiles, outputMode="LAB")
    light, *ab = np.moveaxis(np.asarray(found)[0].astype("int8").astype(int), -1, 0)
    return np.stack([(light % 256) / 2.55, *ab], axis=-1)


@pytest.mark.parametrize(("count", "apart"), [(11, 40), (21, 30), (150, 10)])
def test_colours_are_told_apart(count, apart):
    """2.3 is what an eye just notices."""
    places = lab(drawing.palette()[:count])
    distances = np.linalg.norm(places[:, None] - places, axis=-1)
    assert distances[~np.eye(count, dtype=bool)].min() > apart
    assert (np.linalg.norm(places[:, 1:], axis=1) > 5).all(), "a gray one"


def test_overlay(image, labels):
    red, green = drawing.palette()[[1, 2]].astype(int)
    found = np.asarray(drawing.overlay(image, labels, alpha=0.25)).astype(int)
    np.testing.assert_allclose(found[:, :30], 0.75 * image[:, :30] + 0.25 * red, atol=1)
    np.testing.assert_allclose(found[:, 30:50], 0.75 * image[:, 30:50] + 0.25 * green, atol=1)
    np.testing.assert_array_equal(found[:, 50:], image[:, 50:])
    np.testing.assert_array_equal(np.asarray(drawing.overlay(image, labels, 0)), image)
    with pytest.raises(ValueError, match=r"\(40, 60\); got \(60, 40\)"):
        drawing.overlay(image, labels.T)


def test_shares(labels):
    found = drawing.shares(labels, CLASSES)
    assert list(found) == [1, 2]
    assert list(found.values()) == pytest.approx([1 / 2, 1 / 3])


def test_legend_has_each_class(image, labels):
    picture = np.asarray(drawing.draw_labels(image, labels, CLASSES, alpha=1))
    key = picture[40 + GAP :].reshape(-1, 3)
    for number, there in enumerate((False, True, True)):
        assert (key == drawing.palette()[number]).all(axis=1).any() == there
    text = ((key < 100).all(axis=1)).sum()
    assert text > 30


def test_legend_parts_names_and_shares(image, labels, monkeypatch):
    seen = []
    drawn = drawing.legend
    monkeypatch.setattr(drawing, "legend", lambda *words: seen.append(words[0]) or drawn(*words))
    drawing.draw_labels(image, labels, ["0", "1", "2"])
    assert seen == [{1: "1: 50.0%", 2: "2: 33.3%"}]


def test_legend_fits_its_width():
    names = dict(enumerate(f"class {n}" for n in range(40)))
    narrow, wide = (np.asarray(drawing.legend(names, width)) for width in (90, 900))
    assert len(narrow) > 3 * len(wide)
    for picture in (narrow, wide):
        assert (picture[:, -1] == 255).all(), "text that is cut off"
        colours = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
        assert colours >= {tuple(colour) for colour in drawing.palette()[:40].tolist()}


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
        tiles[1][5:-5, 5:100], np.broadcast_to(drawing.palette()[1], (height - 10, 95, 3))
    )
    np.testing.assert_array_equal(
        tiles[2][5:-5, 5:100], np.broadcast_to(drawing.palette()[0], (height - 10, 95, 3))
    )
    assert len(picture) > 2 * height + 2 * GAP, "no legend"
