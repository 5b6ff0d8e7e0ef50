"""COCO's JSON: ids, names of files and fields that are not as they should be."""

import re

import pytest
from detection_data import CLASSES, HEIGHT, WIDTH, change, load, write_set
from PIL import Image

pytestmark = pytest.mark.one_backend("reads files")


@pytest.fixture
def file(tmp_path, rng):
    return write_set(tmp_path / "set", 3, rng)


ONE_OF = {"images": "image", "categories": "category", "annotations": "annotation"}


def test_images_of_one_id_are_left_out_with_their_boxes(file):
    """A box of theirs may be in any of them."""

    def spoil(content):
        content["images"][1]["id"] = 10  # that of 0.png, too
        content["annotations"][2]["image_id"] = 10  # which was in 1.png

    change(file, spoil)
    data = load(file)
    assert [sample.path.name for sample in data.samples] == ["2.png"]
    assert data.report.counts == {
        "image of another's id: left out": 2,
        "annotation of an id that several images have: left out": 3,
        "annotation of an image that is not listed": 1,
    }
    assert "image 10 (0.png)" in " ".join(data.report.lines())
    change(file, lambda content: [entry.update(id=10) for entry in content["images"]])
    with pytest.raises(ValueError, match="3 x image of another's id"):
        load(file)


@pytest.mark.parametrize("kind", ["categories", "annotations"])
def test_categories_and_annotations_of_one_id_are_refused(file, kind):
    change(file, lambda content: content[kind][1].update(id=content[kind][0]["id"]))
    with pytest.raises(ValueError, match=r"boxes\.json .* the same id, [17]"):
        load(file)


@pytest.mark.parametrize("kind", ONE_OF)
def test_what_is_listed_twice_in_the_same_words_is_read_once(file, kind):
    change(file, lambda content: content[kind].append(content[kind][0]))
    data = load(file)
    assert data.report.counts == {f"{ONE_OF[kind]} that is listed again: read once": 1}
    assert data.classes == CLASSES
    assert [len(sample.boxes) for sample in data.samples] == [2, 2, 2]


def test_categories_of_one_name_are_one_class(file):
    change(file, lambda content: content["categories"].append({"id": 9, "name": "square"}))
    change(file, lambda content: content["annotations"][1].update(category_id=9))
    data = load(file)
    assert data.classes == CLASSES
    assert [sample.labels.tolist() for sample in data.samples] == [[0, 0], [0, 1], [0, 1]]
    assert data.report.lines() == [
        "1 x name of several categories: made one class; the first is square, ids 3, 9"
    ]
    assert [sample.labels.tolist() for sample in load(file, classes=["bar", "square"]).samples] == (
        [[1, 1], [1, 0], [1, 0]]
    )


def test_ids_that_are_text_are_the_numbers_they_name(file):
    def spoil(content):
        content["images"][0]["id"] = "10"
        content["annotations"][2]["image_id"] = "11"
        content["annotations"][4]["category_id"] = "3"
        content["categories"][0]["id"] = "7"
        content["images"][2]["id"] = content["annotations"][5]["image_id"] = "None"  # are names
        content["annotations"][4]["image_id"] = "None"

    change(file, spoil)
    data = load(file)
    assert data.classes == CLASSES
    assert [sample.labels.tolist() for sample in data.samples] == [[0, 1]] * 3
    assert data.report.counts == {
        "id that is text: read as a number": 2,
        "image_id that is text: read as a number": 1,
        "category_id that is text: read as a number": 1,
    }


BAD_FIELDS = {
    "annotation whose image_id is no number or text: left out": ("image_id", [None, [11], {}]),
    "object whose category_id is no number or text": ("category_id", [None, [3], {}]),
    "object whose iscrowd is neither 0 nor 1": ("iscrowd", ["no", 2, []]),
    "area that is no number above 0: the box's is taken": ("area", ["4", -1, 10**400]),
}


@pytest.mark.parametrize("kind", BAD_FIELDS)
def test_a_field_of_another_type_has_its_own_words(file, kind):
    field, values = BAD_FIELDS[kind]

    def spoil(content):
        for number, value in enumerate(values, 90):
            entry = {"id": number, "image_id": 11, "category_id": 3, "bbox": [1, 2, 30, 40]}
            content["annotations"].append(entry | {field: value})

    change(file, spoil)
    data = load(file)
    assert data.report.counts == {kind: 3}
    assert "annotation 90" in data.report.lines()[0]
    assert data.samples[1].areas[2:].tolist() == ([1200] * 3 if field == "area" else [])


@pytest.mark.parametrize(
    ("value", "crowd"), [("0", False), ("1", True), (None, False), (False, False), (True, True)]
)
def test_a_crowd_in_other_words(file, value, crowd):
    change(file, lambda content: content["annotations"][0].update(iscrowd=value))
    data = load(file)
    assert data.samples[0].crowd.tolist() == [crowd, False]
    assert data.report.lines() == []


@pytest.mark.parametrize(
    ("size", "kind", "kept"),
    [
        ({"height": None, "width": None}, "no size, or null: the file's is taken", True),
        ({"height": None, "width": WIDTH + 1}, "another size", False),
        ({"height": str(HEIGHT), "width": str(WIDTH)}, "size is text .* read as numbers", True),
        ({"height": str(HEIGHT), "width": str(WIDTH + 1)}, "another size", False),
        ({"height": "high"}, "size is no number", False),
        ({"height": [HEIGHT]}, "size is no number", False),
    ],
)
def test_sizes_that_are_no_numbers_have_their_own_words(file, size, kind, kept):
    change(file, lambda content: content["images"][0].update(size))
    data = load(file)
    assert re.search(kind, "; ".join(data.report.lines()))
    assert (data.samples[0].path.name == "0.png") == kept
    assert (data.samples[0].height, data.samples[0].width) == (HEIGHT, WIDTH)


def test_file_names_are_of_either_system_and_stay_in_the_folder(file, tmp_path):
    images = file.parent / "images"
    (images / "cam1").mkdir()
    (images / "0.png").rename(images / "cam1" / "0.png")
    photo = (images / "1.png").rename(tmp_path / "outside.png")
    names = ["cam1\\0.png", "..\\..\\outside.png", str(images / "2.png")]

    def rename(content):
        for entry, name in zip(content["images"], names, strict=True):
            entry["file_name"] = name

    change(file, rename)
    data = load(file)
    assert [sample.path for sample in data.samples] == [images / "cam1" / "0.png", images / "2.png"]
    refused = "image whose file_name leaves the folder of images: refused"
    assert data.report.counts == {refused: 1}
    for name in ("cam1/../../../outside.png", str(photo)):
        names[1] = name
        change(file, rename)
        assert load(file).report.counts == {refused: 1}
    for name in (None, "", 7, "a\0.png"):
        names[1] = name
        change(file, rename)
        assert load(file).report.counts == {"image without a file_name": 1}


def test_images_that_cannot_be_trained_on_are_counted(file):
    """Small ones, those of crowds alone, and those without boxes."""

    def spoil(content):
        Image.new("RGB", (50, 31)).save(file.parent / "images" / "small.png")
        content["images"].append({"id": 5, "file_name": "small.png", "height": 31, "width": 50})
        content["annotations"].append(
            {"id": 80, "image_id": 5, "category_id": 3, "bbox": [1, 2, 30, 20]}
        )
        for entry in content["annotations"][:2]:
            entry["iscrowd"] = 1
        for entry in content["annotations"][2:4]:
            entry["bbox"] = None
        content["annotations"][5]["category_id"] = 3

    change(file, spoil)
    data = load(file)
    kept = data.for_training(background=False, smallest_side=32)
    assert [sample.path.name for sample in kept.samples] == ["2.png"]
    assert kept.report.counts == {
        "box that is not four finite numbers": 2,
        "image without boxes, as all of them were left out: background": 1,
        "image with a side below 32 pixels: not trained on": 1,
        "image without boxes: not trained on (--background does)": 1,
        "image whose boxes are all crowds: not trained on (--background does)": 1,
        "class without a box to train on": 1,
    }
    assert "1 x class without a box to train on: bar" in kept.report.lines()
    more = load(file).for_training(background=True, smallest_side=31).samples
    assert [sample.path.name for sample in more] == ["0.png", "1.png", "2.png", "small.png"]


@pytest.mark.parametrize("shares", [False, True])
def test_boxes_below_a_pixel_are_counted(file, shares):
    """No pixel shows them; where all are, they are shares of the image, as others write them."""

    def spoil(content):
        entries = content["annotations"] if shares else content["annotations"][:1]
        for entry in entries:
            entry["bbox"] = [0.25, 0.25, 0.5, 0.5]

    change(file, spoil)
    if shares:
        with pytest.raises(ValueError, match=r"no box.*6 x box less than a pixel.*in pixels"):
            load(file).for_training(background=False, smallest_side=32)
        return
    data = load(file)
    kept = data.for_training(background=False, smallest_side=32)
    assert [len(sample.boxes) for sample in data.samples] == [2, 2, 2]  # all count in measuring
    assert [len(sample.boxes) for sample in kept.samples] == [1, 2, 2]
    assert kept.report.counts == {"box less than a pixel wide or high: not trained on": 1}


@pytest.mark.parametrize("background", [False, True])
def test_nothing_but_crowds_is_one_error(file, background):
    change(file, lambda content: [one.update(iscrowd=1) for one in content["annotations"]])
    with pytest.raises(ValueError, match=r"no box to train on") as error:
        load(file).for_training(background, 32)
    assert ("3 x image whose boxes are all crowds" in str(error.value)) != background
