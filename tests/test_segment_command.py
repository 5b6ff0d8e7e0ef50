"""`keras-pvt segment`: pictures, shares, and what it refuses."""

import json
import os

import keras
import numpy as np
import pytest
from PIL import Image

from keras_pvt.cli import main
from keras_pvt.segmentation.data.label_files import load_ids
from keras_pvt.segmentation.inference import MODES
from keras_pvt.segmentation.trained import TrainedSegmenter
from keras_pvt.utils.colours import colours
from keras_pvt.utils.drawing import GAP

pytestmark = pytest.mark.one_backend("what a command prints and draws")

CLASSES = ("red", "green", "blue")
HEIGHT, WIDTH = 64, 96
# Of each photo, how many columns are red, green and blue.
COLUMNS = {"a": (32, 64, 0), "b": (0, 64, 32)}


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    """The class of a pixel is its strongest colour."""
    path = tmp_path_factory.mktemp("model") / "segmenter.keras"
    images = keras.Input((None, None, 3))
    x = keras.layers.Identity(name="preprocessing")(images)
    model = keras.Model(images, keras.layers.Conv2D(3, 1, use_bias=False)(x))
    model.set_weights([np.eye(3, dtype="float32")[None, None]])
    TrainedSegmenter(model, CLASSES).save(path)
    return str(path)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, columns in COLUMNS.items():
        row = np.repeat(np.eye(3) * 200 + 20, columns, axis=0)
        Image.fromarray(np.tile(row, (HEIGHT, 1, 1)).astype("uint8")).save(folder / f"{name}.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


def test_shares_pictures_and_labels(segmenter, photos, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    words = ["--model", segmenter, "--out", str(out), "--alpha", "1", "--labels", "--json"]
    assert main(["segment", str(photos), *words]) == 1
    output, errors = capsys.readouterr()
    assert "broken.jpg" in errors
    assert errors.splitlines()[1:] == [
        "error: 1 of 3 images could not be read",
        f"drawn: {out}{os.sep}; labels: {out / 'labels'}{os.sep}",
    ]
    found = {line["image"]: line["shares"] for line in map(json.loads, output.splitlines())}
    assert found == {
        str(photos / "a.png"): {"green": pytest.approx(2 / 3), "red": pytest.approx(1 / 3)},
        str(photos / "b.png"): {"green": pytest.approx(2 / 3), "blue": pytest.approx(1 / 3)},
    }
    for name, columns in COLUMNS.items():
        row = np.repeat(np.arange(3), columns)
        ids = Image.open(out / "labels" / f"{name}.png")
        assert ids.mode == "L"
        np.testing.assert_array_equal(np.asarray(ids), np.tile(row, (HEIGHT, 1)))
        drawn = np.asarray(Image.open(out / f"{name}.png"))
        np.testing.assert_array_equal(
            drawn[:HEIGHT, :WIDTH], np.tile(colours(CLASSES)[row], (HEIGHT, 1, 1))
        )
        key = drawn[HEIGHT + GAP :].reshape(-1, 3)
        for number, count in enumerate(columns):
            assert (key == colours(CLASSES)[number]).all(axis=1).any() == bool(count)
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png", "labels"]


def test_lines_and_a_table(segmenter, photos, tmp_path, capsys, monkeypatch):
    words = ["segment", str(photos / "a.png"), "--model", segmenter, "--out", str(tmp_path)]
    assert main(words) == 0
    output, errors = capsys.readouterr()
    assert errors == f"drawn: {tmp_path}{os.sep}\n"
    lines = [line.split("\t") for line in output.splitlines()]
    path = str(photos / "a.png")
    assert lines == [[path, "green", "0.6667"], [path, "red", "0.3333"]]
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert main([*words, "--scales", "0.5", "1", "--flip", "--mode", "whole"]) == 0
    assert "66.7%" in capsys.readouterr().out


def test_more_classes_than_a_byte_has_numbers(tmp_path, capsys):
    """The number of a pixel's class is red + green; 280 would be 24 in a byte."""
    names = [f"class {number}" for number in range(300)]
    images = keras.Input((None, None, 3))
    conv = keras.layers.Conv2D(300, 1)
    numbers = np.arange(300)
    x = conv(keras.layers.Identity(name="preprocessing")(images))
    # -(x - n)^2 is largest for n = x.
    kernel = np.stack([2 * numbers, 2 * numbers, 0 * numbers])[None, None]
    conv.set_weights([kernel, -(numbers**2)])
    path, photo, out = tmp_path / "model.keras", tmp_path / "a.png", tmp_path / "out"
    TrainedSegmenter(keras.Model(images, x), names).save(path)
    row = np.repeat([[200, 80, 0], [24, 0, 0], [255, 0, 0]], [8, 16, 8], axis=0)
    Image.fromarray(np.tile(row, (32, 1, 1)).astype("uint8")).save(photo)
    words = ["segment", str(photo), "--model", str(path), "--out", str(out)]
    assert main([*words, "--alpha", "1", "--labels", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["shares"]
    assert found == {"class 24": 0.5, "class 280": 0.25, "class 255": 0.25}
    expected = np.tile(np.repeat([280, 24, 255], [8, 16, 8]), (32, 1))
    np.testing.assert_array_equal(load_ids(out / "labels" / "a.png"), expected)
    drawn = np.asarray(Image.open(out / "a.png"))[:32, :32]
    np.testing.assert_array_equal(drawn, colours(names)[expected])


def test_files_are_never_replaced(segmenter, photos, capsys):
    file = photos / "a.png"
    before = file.read_bytes()
    words = ["--model", segmenter, "--out", str(photos), "--labels"]
    assert main(["segment", str(file), *words]) == 0
    assert file.read_bytes() == before
    assert (photos / "a-2.png").exists()
    assert (photos / "labels" / "a.png").exists()


def test_a_long_image_in_tiles(segmenter, tmp_path, capsys):
    """More pixels than go through a model at once."""
    image = np.full((800, 3000, 3), 10, "uint8")
    image[:, :2000, 2], image[:, 2000:, 0] = 90, 80
    Image.fromarray(image).save(tmp_path / "long.png")
    words = ["--model", segmenter, "--out", str(tmp_path / "out"), "--labels", "--json"]
    assert main(["segment", str(tmp_path / "long.png"), *words]) == 0
    shares = json.loads(capsys.readouterr().out)["shares"]
    assert shares == pytest.approx({"blue": 2 / 3, "red": 1 / 3}, abs=1e-3)
    labels = np.asarray(Image.open(tmp_path / "out" / "labels" / "long.png"))
    assert (labels[:, :1999] == 2).all()
    assert (labels[:, 2001:] == 0).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "absent.keras"], "absent.keras"),
        (["--model", "PHOTO"], "not a checkpoint: it begins with"),
        (["--model", "MODEL", "--mode", "slide"], "needs a `window`"),
        (["--model", "MODEL", "--window", "32"], "are for the mode"),
    ],
)
def test_errors_are_one_line(words, message, segmenter, photos, tmp_path, capsys):
    photo = str(photos / "a.png")
    names = {"MODEL": segmenter, "PHOTO": photo}
    words = [names.get(word, word) for word in words]
    assert main(["segment", photo, *words, "--out", str(tmp_path / "out")]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--alpha", "2"], ["--scales", "0"], ["--mode", "tiles"]])
def test_wrong_usage_exits_with_2(words, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["segment", "a.jpg", "--model", "x.keras", *words])
    assert "usage: keras-pvt segment" in capsys.readouterr().err


def test_help_has_examples_and_every_mode(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["segment", "--help"])
    text = capsys.readouterr().out
    assert "keras-pvt segment" in text.split("examples:")[1]
    assert "{" + ",".join(MODES) + "}" in text
