"""`keras-pvt detect`: what it draws and lists, in pixels of the photographs."""

import json
import os
import pathlib

import keras
import numpy as np
import pytest
from detection_data import HEIGHT, WIDTH
from PIL import Image

from keras_pvt.cli import main
from keras_pvt.detection.detector import Detector

pytestmark = pytest.mark.one_backend("what a command prints and draws")


@keras.saving.register_keras_serializable(package="tests")
class RedFinder(keras.layers.Layer):
    """Stands in for a detector: the extent of what is red in each image."""

    def call(self, images):
        ops = keras.ops
        red = ops.logical_and(images[..., 0] > 200, images[..., 1] < 90)
        ends = []
        for sides in (ops.any(red, axis=1), ops.any(red, axis=2)):  # columns, rows
            first = ops.argmax(ops.cast(sides, "int32"), axis=1)
            last = ops.argmax(ops.cast(ops.flip(sides, axis=1), "int32"), axis=1)
            ends.append((first, sides.shape[1] - last))
        (x1, x2), (y1, y2) = ends
        boxes = ops.cast(ops.stack([x1, y1, x2, y2], axis=-1), "float32")[:, None]
        fewer = ops.max(images[..., 0], axis=(1, 2))[:, None] / 256
        return {
            "boxes": boxes,
            "confidence": ops.where(fewer > 0.99, 1.0, fewer),
            "classes": ops.zeros_like(boxes[..., 0], dtype="int32"),
            "num_detections": ops.ones_like(x1),
        }


@keras.saving.register_keras_serializable(package="tests")
class Finder(keras.Model):
    """A functional model that says it is a detector, which files of detectors are checked for."""

    system = "retinanet"


@pytest.fixture(scope="module")
def red_finder():
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    return Detector(Finder(inputs, RedFinder()(inputs)), "keras_cv", ["rose"], (HEIGHT, WIDTH))


BOXES = [[30, 50, 130, 190], [200, 10, 260, 60], [1, 2, 41, 30]]
SIZES = [(300, 200), (300, 500), (48, 32)]  # wider, higher and smaller than the model's


@pytest.fixture
def photos(tmp_path):
    """A folder with a red rectangle in each image, and a damaged file."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, (box, size) in enumerate(zip(BOXES, SIZES, strict=True)):
        picture = Image.new("RGB", size, "gray")
        picture.paste((255, 0, 0), tuple(box))
        picture.save(folder / f"{number}.png")
    (folder / "1b.jpg").write_bytes(b"damaged")
    return folder


def check_boxes(found):
    """They are where the rectangles are, but for a pixel of the model."""
    for boxes, box, size in zip(found, BOXES, SIZES, strict=True):
        pixel = max(size[0] / WIDTH, size[1] / HEIGHT)
        np.testing.assert_allclose(boxes, [box], atol=pixel)


def test_boxes_are_in_pixels_of_the_file(red_finder, photos):
    files = sorted(photos.iterdir())
    found = list(red_finder.detect(files, batch_size=2))
    assert [one.path for one in found] == files
    assert [one.path.name for one in found if one.error] == ["1b.jpg"]
    check_boxes([one.boxes for one in found if one.error is None])


def test_detect_draws_and_lists(red_finder, photos, tmp_path, capsys):
    red_finder.save(tmp_path / "red.keras")
    options = ["--model", str(tmp_path / "red.keras"), "--out"]
    out = tmp_path / "out"
    assert main(["detect", str(photos), *options, str(out), "--json"]) == 1
    output, errors = capsys.readouterr()
    assert "1b.jpg" in errors
    assert errors.splitlines()[1:] == [
        "error: 1 of 4 images could not be read",
        f"drawn: {out}{os.sep}",
    ]
    entries = json.loads(output)
    names = ["0.png", "1.png", "2.png"]
    assert [entry["image_id"] for entry in entries] == names
    assert {(entry["category"], entry["category_id"], entry["score"]) for entry in entries} == (
        {("rose", 1, 1)}
    )
    corners = [(x, y, x + w, y + h) for x, y, w, h in (entry["bbox"] for entry in entries)]
    check_boxes([[box] for box in corners])
    assert sorted(file.name for file in out.iterdir()) == names
    drawn = np.asarray(Image.open(out / "0.png")).astype(int)
    changed = abs(drawn - np.asarray(Image.open(photos / "0.png"))).max(axis=-1) > 0
    assert changed[120, 28:34].any()  # the left edge
    assert not changed[80:180, 40:120].any()  # not what is inside
    assert not changed[:, 200:].any()


def test_what_no_box_is_found_in_is_told(red_finder, photos, tmp_path, capsys):
    """The best score of a photo is how red its reddest pixel is; the listing stays as it is."""
    red_finder.save(tmp_path / "red.keras")
    Image.new("RGB", (WIDTH, HEIGHT), (96, 0, 0)).save(tmp_path / "dark.png")
    Image.new("RGB", (WIDTH, HEIGHT), (64, 0, 0)).save(tmp_path / "darker.png")
    out = tmp_path / "out"
    options = ["--model", str(tmp_path / "red.keras"), "--out", str(out)]
    dark = [str(tmp_path / "dark.png"), str(tmp_path / "darker.png")]
    nothing = "nothing above 0.5 in 2 of {} images; the best score is 0.3750: --threshold lowers it"
    for files, count in ((dark, 2), ([str(photos / "0.png"), *dark], 3)):
        assert main(["detect", *files, *options]) == 0
        listed, errors = capsys.readouterr()
        assert len(listed.splitlines()) == count - 2
        assert errors.splitlines() == [nothing.format(count), f"drawn: {out}{os.sep}"]
    assert main(["detect", *dark, *options, "--json"]) == 0
    listed, errors = capsys.readouterr()
    assert json.loads(listed) == []
    assert errors.splitlines()[0] == nothing.format(2)
    assert main(["detect", *dark, *options, "--threshold", "0.2"]) == 0
    listed, errors = capsys.readouterr()
    assert [line.split("\t")[2] for line in listed.splitlines()] == ["0.3750", "0.2500"]
    assert errors == f"drawn: {out}{os.sep}\n"


def test_json_has_the_ids_of_the_annotations(red_finder, photos, tmp_path, capsys):
    """What pycocotools takes as results."""
    coco = pytest.importorskip("pycocotools.coco")
    red_finder.save(tmp_path / "red.keras")
    names = ["0.png", "1.png", "2.png"]
    content = {
        "info": {},
        "images": [
            {"id": 7 * n, "file_name": f"photos/{name}", "height": size[1], "width": size[0]}
            for n, (name, size) in enumerate(zip(names, SIZES, strict=True), 5)
        ],
        "annotations": [],
        "categories": [{"id": 3, "name": "tulip"}, {"id": 41, "name": "rose"}],
    }
    annotations = tmp_path / "set.json"
    annotations.write_text(json.dumps(content))
    options = ["--model", str(tmp_path / "red.keras"), "--out", str(tmp_path / "out"), "--json"]
    files = [str(photos / name) for name in names]
    assert main(["detect", *files, *options, "--annotations", str(annotations)]) == 0
    (tmp_path / "results.json").write_text(capsys.readouterr().out)
    results = coco.COCO(annotations).loadRes(str(tmp_path / "results.json"))
    assert [entry["image_id"] for entry in results.anns.values()] == [35, 42, 49]
    assert {entry["category_id"] for entry in results.anns.values()} == {41}

    content["categories"].pop()
    annotations.write_text(json.dumps(content))
    assert main(["detect", *files, *options, "--annotations", str(annotations)]) == 1
    assert "has no category rose" in capsys.readouterr().err


def test_files_of_one_name_are_images_of_their_folders(red_finder, tmp_path, capsys):
    """cam2's box is drawn lower than cam1's."""
    red_finder.save(tmp_path / "red.keras")
    for folder, top in (("cam1", 10), ("cam2", 30)):
        (tmp_path / folder).mkdir()
        picture = Image.new("RGB", (WIDTH, HEIGHT), "gray")
        picture.paste((255, 0, 0), (5, top, 40, top + 20))
        picture.save(tmp_path / folder / "0001.png")
    images = [{"id": n, "file_name": f"cam{n}/0001.png"} for n in (1, 2)]
    content = {"images": images, "annotations": [], "categories": [{"id": 41, "name": "rose"}]}
    annotations = tmp_path / "set.json"
    annotations.write_text(json.dumps(content))
    options = ["--model", str(tmp_path / "red.keras"), "--out", str(tmp_path / "out"), "--json"]
    folders = [str(tmp_path / "cam1"), str(tmp_path / "cam2")]
    assert main(["detect", *folders, *options, "--annotations", str(annotations)]) == 0
    found = {entry["image_id"]: entry["bbox"][1] for entry in json.loads(capsys.readouterr().out)}
    assert found == {1: pytest.approx(10, abs=1), 2: pytest.approx(30, abs=1)}
    assert main(["detect", *folders, *options]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["image_id"] for entry in entries] == ["cam1/0001.png", "cam2/0001.png"]
    content["images"].pop()
    annotations.write_text(json.dumps(content))
    assert main(["detect", *folders, *options, "--annotations", str(annotations)]) == 1
    listed, errors = capsys.readouterr()
    assert listed == ""  # said before any work
    assert "would both be the image cam1/0001.png" in errors


def test_detect_decodes_an_image_once(red_finder, photos, tmp_path, monkeypatch):
    red_finder.save(tmp_path / "red.keras")
    decode, seen = Image.open, []

    def count(file, *args, **kwargs):
        seen.append(file.name)
        return decode(file, *args, **kwargs)

    monkeypatch.setattr(Image, "open", count)
    options = ["--model", str(tmp_path / "red.keras"), "--out", str(tmp_path / "out")]
    assert main(["detect", str(photos), *options]) == 1
    assert sorted(seen) == sorted(map(str, photos.iterdir()))


def test_pictures_never_replace_photos(red_finder, photos, tmp_path, capsys):
    red_finder.save(tmp_path / "red.keras")
    file = photos / "0.png"
    before = file.read_bytes()
    options = ["--model", str(tmp_path / "red.keras"), "--out", str(photos)]
    assert main(["detect", str(file), *options]) == 0
    ((path, name, score, *box),) = [
        line.split("\t") for line in capsys.readouterr().out.splitlines()
    ]
    assert (path, name, float(score)) == (str(file), "rose", 1)
    np.testing.assert_allclose([float(value) for value in box], BOXES[0], atol=3.2)
    assert file.read_bytes() == before
    assert (photos / "0-2.png").exists()


def test_detect_refuses_other_files(tmp_path, photos, capsys):
    image = str(photos / "0.png")
    (tmp_path / "m.keras").write_bytes(b"not a model")
    for words, message in (
        ([str(tmp_path / "none.png"), "--model", "m"], "there is no file or folder"),
        ([image, "--model", str(tmp_path / "none.keras")], "there is no file"),
        ([image, "--model", str(tmp_path / "m.keras")], "is no trained model"),
    ):
        assert main(["detect", *words]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert not pathlib.Path("detections").exists()
