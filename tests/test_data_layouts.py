"""Folders of images and labels as data sets and tools lay them out."""

import numpy as np
import pytest
from data_formats import write_image
from PIL import Image

from keras_pvt.segmentation.data.layouts import CITYSCAPES
from keras_pvt.segmentation.data.opening import open_split, open_train_and_val
from keras_pvt.segmentation.data.samples import LabelRule

pytestmark = pytest.mark.one_backend("reads files")

SIZE = (3, 2)
COLOURS = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], "uint8")


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, "uint8")).save(path)


@pytest.mark.parametrize("end", ["", "_L"])
def test_colours_of_a_class_dict(tmp_path, end):
    """As Kaggle's CamVid."""
    ids = np.array([[0, 1, 2], [2, 2, 1]])
    for split in ("train", "val"):
        write_image(tmp_path / split / "a.png", SIZE)
        write(tmp_path / f"{split}_labels" / f"a{end}.png", COLOURS[ids])
    table = "name, r, g, b\nSky,0,0,0\nCar,128,0,0\nTree,0,128,0\n"
    (tmp_path / "class_dict.csv").write_text(table)
    data, val = open_train_and_val(tmp_path)
    assert data.classes == val.classes == ("Sky", "Car", "Tree")
    assert data.labels(0).tolist() == ids.tolist()
    assert data.report.lines() == []


def test_a_colour_of_no_class_is_ignored_and_counted(tmp_path):
    write_image(tmp_path / "images" / "a.png", SIZE)
    write(tmp_path / "masks" / "a.png", [[[0, 0, 0], [128, 0, 0], [128, 0, 1]]] * 2)
    write_image(tmp_path / "images" / "b.png", SIZE)
    Image.new("RGB", SIZE).save(tmp_path / "masks" / "b.jpg")
    (tmp_path / "labelmap.txt").write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\n"
                                           "cat:128,0,0::\n")  # fmt: skip
    data = open_split(tmp_path, "")
    assert data.classes == ("background", "cat")
    assert data.labels(0).tolist() == [[0, 1, 255]] * 2
    assert sorted(data.report.counts) == [
        "label with colours that none of the 2 classes has: ignored, as by --ignore",
        "label without class ids: left out",
    ]
    assert "a.png, with #800001" in data.report.lines()[0]


def test_lists_have_names_with_spaces_and_dots(tmp_path):
    for name in ("my photo", "a.b", "c"):
        write_image(tmp_path / "JPEGImages" / f"{name}.jpg", SIZE)
        write(tmp_path / "SegmentationClass" / f"{name}.png", [[0, 1, 0]] * 2)
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("my photo\na.b\nJPEGImages/c.jpg\ngone\n")
    data = open_split(tmp_path, "train")
    assert len(data) == 3
    assert data.report.places == {
        "name in a list without an image and a label": [f"gone of {lists / 'train.txt'}"]
    }


def test_folders_of_a_split_with_images_and_masks(tmp_path):
    for split in ("train", "val"):
        write_image(tmp_path / split / "images" / "a.png", SIZE)
        write(tmp_path / split / "masks" / "a.png", [[0, 1, 0]] * 2)
    write_image(tmp_path / "train" / "images" / "more" / "b.png", SIZE)
    data = open_split(tmp_path, "train")
    assert len(data) == 1
    assert data.report.places == {
        "folder in that of images or labels: passed over, with all in it": [
            str(tmp_path / "train" / "images" / "more")
        ]
    }
    assert len(open_split(tmp_path, "val")) == 1


@pytest.mark.parametrize("coloured", [True, False])
def test_masks_of_pascal_voc_and_of_cvat(tmp_path, coloured):
    ids = np.array([[0, 1, 2], [2, 2, 255]], "uint8")
    for name in "ab":
        write_image(tmp_path / "JPEGImages" / f"{name}.jpg", SIZE)
        label = tmp_path / "SegmentationClass" / f"{name}.png"
        label.parent.mkdir(exist_ok=True)
        indexed = Image.fromarray(ids, "P")
        indexed.putpalette([*COLOURS.ravel().tolist()] + [0] * 756 + [224, 224, 192])
        (indexed.convert("RGB") if coloured else indexed).save(label)
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\n")
    if coloured:
        lines = [
            f"{name}:{','.join(map(str, c))}::" for name, c in zip("xyz", COLOURS, strict=True)
        ]
        (tmp_path / "labelmap.txt").write_text("\n".join(lines))
    data, val = open_train_and_val(tmp_path)
    assert [data.name(0)[-5:], val.name(0)[-5:]] == ["a.jpg", "b.jpg"]
    assert (len(data), len(val)) == (1, 1)
    assert data.classes == (("x", "y", "z") if coloured else ("0", "1", "2"))
    assert data.labels(0).tolist() == ids.tolist()
    assert len(data.report.lines()) == coloured  # the border is no colour of the table


def test_cityscapes(tmp_path):
    for split, city in (("train", "ulm"), ("val", "bonn")):
        write_image(tmp_path / "leftImg8bit" / split / city / f"{city}_1_leftImg8bit.png", SIZE)
        labels = tmp_path / "gtFine" / split / city
        write(labels / f"{city}_1_gtFine_labelIds.png", [[7, 8, 33], [0, 1, 26]])
        write(labels / f"{city}_1_gtFine_color.png", np.zeros((2, 3, 3)))
    data, val = open_train_and_val(tmp_path)
    assert len(data.classes) == len(CITYSCAPES) == 19
    expected = [[0, 1, 18], [255, 255, 13]]
    assert data.labels(0).tolist() == val.labels(0).tolist() == expected
    assert data.report.lines() == []
    with pytest.raises(FileNotFoundError, match="no leftImg8bit/ and gtFine/ of 'x'"):
        open_split(tmp_path, "x")


def test_ade20k_names_its_classes_and_wants_zero_left_out(tmp_path):
    write_image(tmp_path / "images" / "training" / "a.jpg", SIZE)
    write(tmp_path / "annotations" / "training" / "a.png", [[0, 1, 2], [3, 3, 1]])
    rows = ["Idx\tRatio\tTrain\tVal\tName", "1\t0.1\t1\t1\twall", "2\t0.1\t1\t1\tscreen, door"]
    rows += ["3\t0.1\t1\t1\tscreen, crt screen"]
    (tmp_path / "objectInfo150.txt").write_text("\n".join(rows) + "\n")
    with pytest.raises(ValueError, match=r"ids count from 1, .* pass --reduce-zero"):
        open_split(tmp_path, "train")
    data = open_split(tmp_path, "train", rule=LabelRule(reduce_zero=True))
    assert data.classes == ("wall", "screen, door", "screen, crt screen")
    assert data.labels(0).tolist() == [[255, 0, 1], [2, 2, 0]]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"class_dict.csv": "name,r\nx,1\n"}, "columns name, r, g and b"),
        ({"class_dict.csv": "name,r,g,b\nx,0,0,0\ny,0,0,0\n"}, "a colour for each class"),
        ({"labelmap.txt": "x:1,a,2::\n"}, "lines such as cat"),
        ({"labelmap.txt": "x:0,0,0::\nx:1,1,1::\n"}, "a name for each class"),
        ({"labelmap.txt": "x:::", "class_dict.csv": "name,r,g,b\n"}, "both say what colours are"),
    ],
)
def test_tables_that_are_wrong(tmp_path, files, message):
    write_image(tmp_path / "images" / "a.png", SIZE)
    write(tmp_path / "masks" / "a.png", [[0, 1, 2]] * 2)
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        open_split(tmp_path, "")
