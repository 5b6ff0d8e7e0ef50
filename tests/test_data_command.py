"""`keras-pvt data`: what it says of a data set, and its sheet."""

import json
import sys

import numpy as np
import pytest
from data_formats import (
    HEIGHT,
    WIDTH,
    shape,
    voc_object,
    write_image,
    write_labelme,
    write_voc,
    write_yolo,
)
from detection_data import write_set
from PIL import Image

from keras_pvt.cli import main

pytestmark = pytest.mark.one_backend("reads files")

BOTTOM = [41, 61, 60, 70]


def said(words, capsys):
    assert main(["data", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_boxes(tmp_path, capsys):
    for number in range(18):
        write_image(tmp_path / f"{number}.jpg")
        outline = shape("cat", [[10, 20], [30, 20], [30, 50]], "polygon")
        write_labelme(tmp_path / f"{number}.json", [outline], f"{number}.jpg")
    write_labelme(tmp_path / "0.json", [shape("dog", [[0, 0], [100, 80]])], "0.jpg")
    for number in range(4):
        write_image(tmp_path / f"alone{number}.jpg")
    out = said([tmp_path, "--out", tmp_path.with_suffix(".png")], capsys)
    assert out.splitlines() == [
        'boxes: LabelMe (labelme), as 0.json is JSON with "shapes"',
        "all: 18 images, 18 objects, 2 classes",
        "  images: width x height 100 x 80 in the middle, 100 x 80 to 100 x 80",
        "  boxes: width x height 20 x 30 in the middle, 20 x 30 to 100 x 80; 94% small (below 32 x "
        "32), 6% medium, 0% large (96 x 96 or more)",
        "  outlines: 17 of 18 objects have one",
        "  cat  17 objects, 17 images",
        "  dog  1 objects, 1 images",
        "  4 x image without an annotation file: left out",
        *(f"      {tmp_path}/alone{number}.jpg" for number in range(3)),
        "      ...",
        f"sheet: {tmp_path}.png",
    ]
    with Image.open(tmp_path.with_suffix(".png")) as sheet:
        assert sheet.size == (4 * 480 + 12, 4 * 384 + 12)
    content = json.loads(said([tmp_path, "--json", "--classes", "dog,cat"], capsys))
    (part,) = content["splits"].values()
    assert list(part["classes"]) == ["dog", "cat"]
    assert len(part["report"]["image without an annotation file: left out"]) == 4


def test_a_sheet_shows_boxes_where_they_are(tmp_path, capsys):
    write_image(tmp_path / "a.jpg")
    write_voc(tmp_path / "a.xml", voc_object("red", BOTTOM))
    said([tmp_path, "--out", tmp_path.with_suffix(".png")], capsys)
    with Image.open(tmp_path.with_suffix(".png")) as sheet:
        pixels = np.array(sheet).astype(int)
    red = (pixels[..., 0] > 200) & (pixels[..., 1:] < 60).all(-1)
    rows, columns = np.nonzero(red)
    scale = 480 / WIDTH
    assert abs(rows.max() + 1 - BOTTOM[3] * scale) <= 1
    assert abs(columns.min() - (BOTTOM[0] - 1) * scale) <= 1


def test_a_coco_json_whose_images_are_elsewhere(tmp_path, rng, capsys):
    file = write_set(tmp_path / "set", 3, rng)
    words = [file, "--images", file.parent / "images", "--out", tmp_path.with_suffix(".png")]
    assert "all: 3 images, 6 objects, 2 classes" in said(words, capsys)
    assert "boxes: COCO (coco), as boxes.json has images" in said([file.parent, *words[3:]], capsys)


def test_masks(tmp_path, capsys):
    for split, count in (("train", 3), ("val", 2)):
        for number in range(count):
            image = write_image(tmp_path / split / f"{number}.png", (WIDTH, HEIGHT))
            label = tmp_path / f"{split}_labels" / image.name
            label.parent.mkdir(exist_ok=True)
            ids = np.zeros((HEIGHT, WIDTH), "uint8")
            ids[: HEIGHT // 4] = 1
            ids[-1] = 255
            Image.fromarray(ids).save(label)
    write_image(tmp_path / "train" / "alone.png")
    (tmp_path / "classes.txt").write_text("road\nsky\ncar\n")
    lines = said([tmp_path, "--out", tmp_path.with_suffix(".png")], capsys).splitlines()
    assert lines[0] == (
        "pixels: folders of images and of labels (folders), as train_labels/0.png has the pixels "
        "of train/0.png"
    )
    assert "  sky   3 images, 25.00% of all pixels" in lines
    assert "  car   0 images, 0.00% of all pixels" in lines
    assert "  1 x image without a label: left out" in lines
    assert any(line.startswith("val: 2 images, 3 classes") for line in lines)
    assert (tmp_path.with_suffix(".png")).is_file()


def test_class_folders(tmp_path, capsys):
    for split in ("train", "test"):
        for name, count in (("ant", 2), ("bee", 3)):
            for number in range(count):
                write_image(tmp_path / split / name / f"{number}.png")
    (tmp_path / "train" / "bee" / "bad.png").write_bytes(b"")
    lines = said([tmp_path, "--out", tmp_path.with_suffix(".png")], capsys).splitlines()
    assert lines[0].startswith("classes: a folder for each class (classes), as t")
    assert "  bee  4 images" in lines
    assert "  1 x image file that is no readable image" in lines
    assert any(line.startswith("test: 5 images, 2 classes") for line in lines)


def test_class_folders_without_a_readable_image(tmp_path, capsys):
    for name in ("ant", "bee"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(b"no image")
    assert main(["data", str(tmp_path), "--out", str(tmp_path.with_suffix(".png"))]) == 1
    assert "none of the 2 image files in" in capsys.readouterr().err


def test_a_test_split_of_masks_is_counted_too(tmp_path, capsys):
    for split, count in (("train", 2), ("val", 1), ("test", 3)):
        for number in range(count):
            write_image(tmp_path / split / "images" / f"{number}.png")
            label = tmp_path / split / "masks" / f"{number}.png"
            label.parent.mkdir(exist_ok=True)
            Image.new("L", (WIDTH, HEIGHT), 1).save(label)
    words = [tmp_path, "--out", tmp_path.with_suffix(".png")]
    lines = said(words, capsys).splitlines()
    assert lines[0].startswith("pixels: ")  # not two classes, images and masks
    assert [line for line in lines if "images, 2 classes" in line] == [
        "train: 2 images, 2 classes",
        "val: 1 images, 2 classes",
        "test: 3 images, 2 classes",
    ]
    for number in range(3):  # labels that are kept back
        Image.new("L", (WIDTH, HEIGHT), 255).save(tmp_path / "test" / "masks" / f"{number}.png")
    assert "1 x test split without a label to use: left out" in said(words, capsys)
    (tmp_path / "val").rename(tmp_path / "none")
    (tmp_path / "train").rename(tmp_path / "gone")
    assert main(["data", *map(str, words)]) == 1
    assert "no image and label to use" in capsys.readouterr().err


def test_a_class_may_be_called_train(tmp_path, capsys):
    for name in ("train", "plane"):
        write_image(tmp_path / name / "a.png")
    lines = said([tmp_path, "--out", tmp_path.with_suffix(".png")], capsys).splitlines()
    assert lines[0] == (
        "classes: a folder for each class (classes), as it has folders with images, plane and "
        "train among them"
    )


def test_images_without_their_end_are_named(tmp_path, capsys):
    """Their headers are whole."""
    for name in ("whole", "cut"):
        write_image(tmp_path / "boxes" / f"{name}.jpg")
        write_voc(tmp_path / "boxes" / f"{name}.xml", voc_object("red", BOTTOM))
        for folder in ("ant", "bee"):
            write_image(tmp_path / "classes" / folder / f"{name}.jpg")
    for file in tmp_path.rglob("cut.jpg"):
        file.write_bytes(file.read_bytes()[:-40])
    for folder, count in (("boxes", 1), ("classes", 2)):
        lines = said([tmp_path / folder, "--out", tmp_path / "x.png"], capsys).splitlines()
        place = lines.index(
            f"  {count} x image that cannot be decoded: training takes another in its place"
        )
        assert "cut.jpg cannot be read as an image" in lines[place + 1]


def test_the_report_is_there_though_no_sheet_is(tmp_path, capsys, monkeypatch):
    write_image(tmp_path / "a.jpg")
    outline = shape("cat", [[10, 20], [30, 20], [30, 50]], "polygon")
    write_labelme(tmp_path / "a.json", [outline], "a.jpg")
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    assert main(["data", str(tmp_path), "--out", str(tmp_path.with_suffix(".png"))]) == 1
    out, err = capsys.readouterr()
    assert "all: 1 images, 1 objects, 1 classes" in out
    assert "drawing outlines needs pycocotools" in err


def test_folders_of_images_and_masks_are_no_classes(tmp_path, capsys):
    for folder in ("Image", "Mask"):
        write_image(tmp_path / folder / "a.png")
    assert main(["data", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "Nor has it images/ and masks/ of the same names" in error
    (tmp_path / "boxes.json").write_text('{"images": [')
    assert main(["data", str(tmp_path)]) == 1
    assert f"{tmp_path / 'boxes.json'} is no JSON" in capsys.readouterr().err


def test_what_cannot_be_told(tmp_path, capsys):
    write_yolo(tmp_path, {"a": ["0 0.5 0.5 0.5 0.5"]}, "train: images\nnames: [cat]\n")
    write_voc(tmp_path / "a.xml", voc_object("cat", BOTTOM))
    assert main(["data", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "fits several formats: voc, as a.xml" in error
    assert "yolo, as data.yaml has names" in error
    assert "--format decides" in error
    out = said([tmp_path, "--format", "yolo", "--out", tmp_path.with_suffix(".png")], capsys)
    assert "boxes: YOLO (yolo)" in out
    assert main(["data", str(tmp_path), "--format", "coco"]) == 1
    assert "is no 'coco'; what fits: voc, yolo" in capsys.readouterr().err
    assert main(["data", str(tmp_path), "--out", str(tmp_path / "x.png")]) == 1
    assert "would be an image of the data" in capsys.readouterr().err
    (tmp_path / "none").mkdir()
    assert main(["data", str(tmp_path / "none")]) == 1
    assert "in no format that is read" in capsys.readouterr().err
