"""Boxes in the formats of annotation tools, with what each tool is known to do."""

import json
import shutil

import numpy as np
import pytest
from data_formats import (
    BOX,
    HEIGHT,
    WIDTH,
    bitmap,
    cvat_image,
    packed,
    png_text,
    region,
    shape,
    voc_object,
    write_cvat,
    write_image,
    write_labelme,
    write_voc,
    write_yolo,
)

from keras_pvt.detection.data.formats.choice import load_folder, open_splits
from keras_pvt.detection.data.formats.label_studio import unpacked
from keras_pvt.detection.data.segmentations import mask
from keras_pvt.detection.train import load_data
from keras_pvt.recipes.files import load

pytestmark = pytest.mark.one_backend("reads files")

DOG = "1 0.2 0.4375 0.2 0.375"  # YOLO's line of `BOX`


def only(path, **options):
    """The set of a folder without splits."""
    (data,) = load_folder(path, **options).values()
    return data


def objects(data):
    """(class, box) of each object, image by image."""
    return [
        [(data.classes[label], box.tolist()) for label, box in zip(s.labels, s.boxes, strict=True)]
        for s in data.samples
    ]


def area(data, number=0):
    """Pixels of an object of the first image."""
    return int(mask(data.samples[0].segmentations[number], (HEIGHT, WIDTH)).sum())


class TestVOC:
    def test_pixels_count_from_one(self, tmp_path):
        write_image(tmp_path / "JPEGImages" / "a.jpg")
        part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
        write_voc(
            tmp_path / "Annotations" / "a.xml",
            voc_object("cat", [11, 21, 30, 50], "<difficult>0</difficult>").replace(
                "</object>", f"{part}</object>"
            ),
            voc_object("ant", [1, 1, 100, 80], "<truncated>1</truncated><difficult>1</difficult>"),
            ends="\r\n",
        )
        data = only(tmp_path)
        assert data.classes == ["ant", "cat"]
        assert objects(data) == [[("cat", BOX), ("ant", [0, 0, 100, 80])]]
        assert data.samples[0].crowd.tolist() == [False, True]
        assert sorted(data.report.counts) == [
            '"difficult" object: neither trained on nor counted as missed',
            "file of boxes that count pixels from 1: left and top become 1 less, to be edges",
        ]

    @pytest.mark.parametrize("box", [[10.5, 20.25, 30.5, 50.75], [0, 20, 30, 50]])
    def test_a_zero_or_a_fraction_says_that_they_are_edges(self, tmp_path, box):
        for name, own in (("a", box), ("b", BOX)):
            write_image(tmp_path / f"{name}.png")
            write_voc(tmp_path / f"{name}.xml", voc_object("cat", own))
        data = only(tmp_path)
        assert objects(data) == [[("cat", box)], [("cat", BOX)]]
        said = "file of boxes with edges, as a coordinate of the set is 0 or a fraction"
        assert data.report.counts[said] == 2

    def test_names_and_sizes_that_are_wrong(self, tmp_path):
        for name in "abcd":
            write_image(tmp_path / "images" / f"{name}.jpg")
        xml = tmp_path / "annotations"
        write_voc(xml / "a.xml", voc_object("cat", BOX), filename="C:\\x\\IMG_1.jpg", size=(0, 0))
        write_voc(xml / "b.xml", voc_object("cat", BOX), size=(WIDTH, HEIGHT + 1))
        write_voc(xml / "x.xml", voc_object("cat", BOX), filename="C:\\x\\c.jpg")
        write_voc(xml / "y.xml", voc_object("cat", BOX))
        (xml / "z.xml").write_text("<annotation>")
        data = only(tmp_path)
        assert [sample.path.name for sample in data.samples] == ["a.jpg", "c.jpg"]
        counts = data.report.counts
        assert counts.pop("file of boxes that count pixels from 1: left and top become 1 less, to "
                          "be edges") == 3  # fmt: skip
        assert counts == {
            "<filename> of another name than its file: the image of the file's name is taken": 1,
            "no size of the image, or 0, beside its objects: its own is taken": 1,
            "image of another size than its entry says": 1,
            "annotation file without its image: left out": 1,
            "annotation file that is no XML: left out": 1,
            "image without an annotation file: left out": 1,
        }

    def test_lists_of_image_sets_are_the_splits(self, tmp_path):
        for name in "abc":
            write_image(tmp_path / "VOC" / "JPEGImages" / f"{name}.jpg")
            box = [*BOX[:2], *(30 + ord(name), 50)]
            write_voc(tmp_path / "VOC" / "Annotations" / f"{name}.xml", voc_object(name, box))
        lists = tmp_path / "VOC" / "ImageSets" / "Main"
        lists.mkdir(parents=True)
        (lists / "train.txt").write_text("a\n")
        (lists / "val.txt").write_text("b\n\n")
        (lists / "a_train.txt").write_text("a 1\nb -1\n")
        sets = load_folder(tmp_path)
        assert list(sets) == ["train", "val"]
        assert [[s.path.name for s in data.samples] for data in sets.values()] == [
            ["a.jpg"],
            ["b.jpg"],
        ]
        assert sets["val"].classes == sets["train"].classes == ["a", "b"]
        assert sets["train"].report.counts["annotation file in no list of ImageSets: passed over"]

    def test_an_image_of_a_name_is_that_of_its_split(self, tmp_path):
        for split, box in (("train", [1, 1, 20, 20]), ("valid", [1, 1, 40, 40])):
            write_image(tmp_path / split / "images" / "a.jpg")
            write_voc(tmp_path / split / "xml" / "a.xml", voc_object("cat", box))
        sets = load_folder(tmp_path)
        assert {name: objects(data)[0][0][1] for name, data in sets.items()} == {
            "train": [0, 0, 20, 20],
            "val": [0, 0, 40, 40],
        }

    def test_lists_have_names_with_spaces_and_dots(self, tmp_path):
        for name in ("my photo", "a.b", "c", "d"):
            write_image(tmp_path / "JPEGImages" / f"{name}.jpg")
            write_voc(tmp_path / "Annotations" / f"{name}.xml", voc_object("cat", BOX))
        lists = tmp_path / "ImageSets" / "Main"
        lists.mkdir(parents=True)
        (lists / "train.txt").write_text("my photo\na.b\nc 1\nJPEGImages/d.jpg\ngone\n")
        data = load_folder(tmp_path)["train"]
        assert len(data.samples) == 4
        assert data.report.places["name in a list of ImageSets without an annotation file"] == [
            f"gone of {lists / 'train.txt'}"
        ]

    def test_the_ending_decides_between_images_of_one_name(self, tmp_path):
        for name in ("a.jpg", "a.png"):
            write_image(tmp_path / name)
        write_voc(tmp_path / "a.xml", voc_object("cat", BOX), filename="a.png")
        data = only(tmp_path)
        assert [sample.path.name for sample in data.samples] == ["a.png"]
        assert data.report.places["image without an annotation file: left out"] == [
            str(tmp_path / "a.jpg")
        ]

    def test_a_second_file_of_an_image_adds_nothing(self, tmp_path):
        write_image(tmp_path / "images" / "a.jpg")
        for folder in ("x", "y"):
            write_voc(tmp_path / folder / "a.xml", voc_object("cat", [11, 21, 30, 50]))
        data = only(tmp_path)
        assert objects(data) == [[("cat", BOX)]]
        assert data.report.places["second annotation file of an image: left out"] == [
            str(tmp_path / "y" / "a.xml")
        ]


class TestYOLO:
    def test_lines_of_every_kind(self, tmp_path):
        lines = [
            DOG,
            "0 0.1 0.25 0.3 0.25 0.3 0.625",  # a polygon
            "0 0.1 0.25 0.3 0.25 0.3 0.625 0.1 0.625",  # corners
            "1.0 0.95 0.4375 0.2 0.375 0.9",  # a score; over the edge
            "7 0.5 0.5 0.2 0.2",
            "1 0.5 0.5 0.2",
            "1 0.5 nan 0.2 0.2",
            "1 0.1 0.25 0.3 0.25 0.3 0.625 0.1",
            "",
            DOG,
        ]
        write_yolo(
            tmp_path,
            {"train/a": lines, "train/s/b": []},
            "train: images/train\nval: images/none\nnames: {1: dog, 0: cat}\n",
        )
        write_image(tmp_path / "images" / "train" / "c.png")
        (tmp_path / "labels" / "train" / "gone.txt").write_text(DOG)
        data = load_folder(tmp_path, masks=False)["train"]
        assert data.classes == ["cat", "dog"]
        assert [sample.path.name for sample in data.samples] == ["a.jpg", "c.png", "b.jpg"]
        (first, *rest) = objects(data)
        assert rest == [[], []]
        assert [name for name, _ in first] == ["dog", "cat", "cat", "dog"]
        expected = [BOX, BOX, BOX, [85, 20, 100, 50]]
        np.testing.assert_allclose([box for _, box in first], expected, atol=1e-4)
        assert data.report.counts == {
            "line that is there twice: read once": 1,
            "line that is no class and four numbers or more: left out": 2,
            "polygon of half a corner: left out": 1,
            "a number after a box, such as a score: passed over": 1,
            "four corners: their upright bounds are the box": 1,
            "object of an unknown class": 1,
            "box over the edge of its image: clipped": 1,
            "image without boxes: background": 2,
            "label file without an image: passed over": 1,
            "val of data.yaml that is not there: left out": 1,
        }

    def test_outlines(self, tmp_path):
        write_yolo(tmp_path, {"train/a": ["0 0.1 0.25 0.3 0.25 0.3 0.625", DOG]}, "train: images\n"
                   "names: [cat, dog]\n")  # fmt: skip
        data = only(tmp_path, masks=True)
        assert abs(area(data) - 300) < 20  # half of the box
        assert data.report.counts == {"object without an outline, polygons or run lengths": 1}

    @pytest.mark.parametrize("path", ["path: ../datasets/x\n", "path: /content/x\n", ""])
    def test_paths_of_another_machine(self, tmp_path, path):
        write_yolo(tmp_path, {"a": [DOG]}, f"{path}train: ../images\nnames: [cat, dog]\nnc: 2\n")
        data = only(tmp_path / "data.yaml")
        np.testing.assert_allclose(objects(data)[0][0][1], BOX, atol=1e-4)
        (line,) = data.report.lines()
        assert "not where it says" in line
        assert str(tmp_path / "images") in line

    def test_lists_of_files_and_poses(self, tmp_path):
        write_yolo(
            tmp_path,
            {"a": [DOG + " 0.5 0.5 2 0.1 0.1 0"], "b": []},
            "path: .\ntrain: [train.txt]\nkpt_shape: [2, 3]\nnames: {0: cat, 1: dog}\n",
        )
        (tmp_path / "train.txt").write_text("./images/a.jpg\nimages/b.jpg\n")
        data = only(tmp_path)
        assert [len(sample.boxes) for sample in data.samples] == [1, 0]
        assert data.report.counts["keypoints beside a box: passed over"] == 1

    def test_images_of_one_name_and_endings_in_capitals(self, tmp_path):
        write_yolo(tmp_path, {"a": [DOG], "b": [DOG]}, "train: images\nnames: [cat, dog]\n")
        write_image(tmp_path / "images" / "a.PNG")
        (tmp_path / "labels" / "b.txt").rename(tmp_path / "labels" / "b.TXT")
        data = only(tmp_path)
        assert [sample.path.name for sample in data.samples] == ["a.PNG", "a.jpg", "b.jpg"]
        assert [len(sample.boxes) for sample in data.samples] == [1, 1, 1]
        assert data.report.counts == {"label file of several images: read for each": 2}

    def test_labels_of_another_split_have_their_images(self, tmp_path):
        write_yolo(tmp_path, {"a": [DOG], "b": [DOG]}, "train: train.txt\nval: val.txt\n"
                   "names: [cat, dog]\n")  # fmt: skip
        (tmp_path / "train.txt").write_text("./images/a.jpg\n")
        (tmp_path / "val.txt").write_text("./images/b.jpg\n")
        assert [data.report.lines() for data in load_folder(tmp_path).values()] == [[], []]

    def test_the_images_of_train_do_not_stand_for_those_of_val(self, tmp_path):
        yaml = "train: images\nval: gone/images\nnames: [cat, dog]\n"
        write_yolo(tmp_path, {"a": [DOG]}, yaml)
        sets = load_folder(tmp_path)
        assert list(sets) == ["train"]
        assert sets["train"].report.places == {
            "val of data.yaml that is not there: left out": [str(tmp_path / "gone" / "images")]
        }

    def test_the_first_images_may_be_background(self, tmp_path):
        for number in range(9):
            write_image(tmp_path / f"{number}.jpg")
            (tmp_path / f"{number}.txt").write_text(DOG if number == 8 else "")
        (tmp_path / "classes.txt").write_text("cat\ndog\n")
        assert [len(sample.boxes) for sample in only(tmp_path).samples] == [0] * 8 + [1]

    def test_names_beside_labels(self, tmp_path):
        """As Label Studio and LabelImg write them."""
        write_yolo(tmp_path, {"a": [DOG]}, "")
        (tmp_path / "data.yaml").unlink()
        (tmp_path / "classes.txt").write_text("cat\ndog\n")
        (tmp_path / "notes.json").write_text("{}")
        data = only(tmp_path)
        assert data.classes == ["cat", "dog"]
        np.testing.assert_allclose(objects(data)[0][0][1], BOX, atol=1e-4)

    @pytest.mark.parametrize(
        ("yaml", "message"),
        [
            ("train: images\nnames: [cat]\nnc: 2\n", "nc is 2, and there are 1 names"),
            ("train: images\nnames: {a: cat}\n", "a list, or have a number"),
            ("train: [\nnames: [cat]\n", "is no YAML"),
            ("train: none\nnames: [cat]\n", "no image of a split"),
        ],
    )
    def test_a_data_yaml_that_is_wrong(self, tmp_path, yaml, message):
        write_yolo(tmp_path, {"a": [DOG]}, yaml)
        with pytest.raises(ValueError, match=message):
            load_folder(tmp_path)


class TestLabelMe:
    def test_shapes_of_every_kind(self, tmp_path):
        write_image(tmp_path / "a.jpg")
        shapes = [
            shape("cat", [[30, 50], [10, 20]]),  # from any corner
            shape("cat", [[10, 20], [30, 20], [30, 50]], "polygon"),
            shape("dog", [[40, 40], [40, 50]], "circle"),
            shape("dog", [[10, 20], [29, 49]], "mask", mask=png_text(np.ones((30, 20)))),
            shape("ant", [[10, 20], [30, 20], [30, 50]], None, 1),
            shape("ant", [[60, 20], [70, 20], [70, 50]], "polygon", 1),
            shape("cat", [[1, 1], [5, 5]], "line"),
            shape("cat", [[10, 20], [30, 50]], "mask", mask="?"),
            shape("", [[10, 20], [30, 50]]),
        ]
        write_labelme(tmp_path / "a.json", shapes, "..\\pictures\\a.jpg")
        data = only(tmp_path)
        assert data.classes == ["ant", "cat", "dog"]
        assert objects(data) == [
            [
                ("cat", BOX),
                ("cat", BOX),
                ("dog", [30, 30, 50, 50]),
                ("dog", BOX),
                ("ant", [10, 20, 70, 50]),
            ]
        ]
        left_out = {
            "line, which has no area: left out": 1,
            "shape of kind mask that cannot be read: left out": 1,
            "shape without a label: left out": 1,
            "shapes of one label and group: one object": 1,
        }
        assert data.report.counts == left_out
        masked = only(tmp_path, masks=True)
        assert masked.report.counts == left_out | {
            "object without an outline, polygons or run lengths": 1
        }
        assert [name for name, _ in objects(masked)[0]] == ["cat", "dog", "dog", "ant"]
        areas = [area(masked, number) for number in range(4)]
        np.testing.assert_allclose(areas, [300, 314, 600, 450], rtol=0.06)
        assert areas[2] == 600

    def test_images_that_are_elsewhere_or_missing(self, tmp_path):
        write_image(tmp_path / "images" / "a.jpg")
        write_image(tmp_path / "images" / "c.jpg")
        box = [shape("cat", [[10, 20], [30, 50]])]
        write_labelme(tmp_path / "labels" / "a.json", box, "/home/me/old.jpg", size=(0, 0))
        write_labelme(tmp_path / "labels" / "b.json", box, "b.jpg", data="iVBOR")
        (tmp_path / "labels" / "x.json").write_text("{}")
        data = only(tmp_path)
        assert objects(data) == [[("cat", BOX)]]
        assert data.report.counts == {
            "imagePath that is not there: the image of the file's own name is taken": 1,
            "annotation file without its image (it holds its image itself): left out": 1,
            "no size of the image, or 0, beside its objects: its own is taken": 1,
            'JSON file without "shapes": passed over': 1,
            "image without an annotation file: left out": 1,
        }


def write_coco(file, image="a.jpg", category=1, others=()):
    content = {
        "images": [
            {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
            for number, name in enumerate([image, *others])
        ],
        "categories": [
            {"id": 0, "name": "animals", "supercategory": "none"},
            {"id": 1, "name": "cat", "supercategory": "animals"},
        ],
        "annotations": [
            {"id": 0, "image_id": 0, "category_id": category, "bbox": [10, 20, 20, 30]}
        ],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


class TestCOCO:
    def test_folders_of_roboflow(self, tmp_path):
        for split in ("train", "valid"):
            write_image(tmp_path / split / "a.jpg")
            write_coco(tmp_path / split / "_annotations.coco.json")
        sets = load_folder(tmp_path)
        assert list(sets) == ["train", "val"]
        for data in sets.values():
            assert objects(data) == [[("cat", BOX)]]
            assert data.classes == ["cat"]
            assert data.report.counts == {
                "category without objects that others have as their supercategory: left out": 1
            }

    def test_a_group_with_objects_is_a_class(self, tmp_path):
        write_image(tmp_path / "a.jpg")
        write_coco(tmp_path / "boxes.json", category=0)
        assert only(tmp_path).classes == ["animals", "cat"]

    def test_folders_of_coco(self, tmp_path):
        for split in ("train2017", "val2017"):
            write_image(tmp_path / split / "a.jpg")
            write_coco(tmp_path / "annotations" / f"instances_{split}.json")
        sets = load_folder(tmp_path)
        assert {name: data.samples[0].path.parent.name for name, data in sets.items()} == {
            "train": "train2017",
            "val": "val2017",
        }
        write_coco(tmp_path / "annotations" / "person_keypoints_val2017.json")
        with pytest.raises(ValueError, match=r"instances_val2017.json and .* of one split, val"):
            load_folder(tmp_path)

    def test_captions_are_another_format(self, tmp_path):
        """They come first in COCO's own folder, which has six files."""
        write_image(tmp_path / "train2017" / "a.jpg")
        write_coco(tmp_path / "annotations" / "instances_train2017.json")
        for name in ("captions_train2017", "captions_val2017", "x", "y"):
            (tmp_path / "annotations" / f"{name}.json").write_text('{"images": []}')
        (tmp_path / "annotations" / "instances_val2017.json").write_text('{"images": [')
        (data,) = load_folder(tmp_path).values()
        assert data.report.counts["JSON file of another format: passed over"] == 4
        assert data.report.counts["annotation file that is no JSON: left out"] == 1
        with pytest.raises(ValueError, match=r"is not in COCO's format; .* is no JSON"):
            load_folder(tmp_path / "annotations" / "instances_val2017.json", name="coco")

    def test_missing_and_unlisted_images(self, tmp_path):
        write_coco(tmp_path / "boxes.json", "gone.jpg", others=["a.jpg"])
        for name in ("a.jpg", "b.jpg"):
            write_image(tmp_path / "images" / name)
        data = only(tmp_path)
        assert [sample.path.name for sample in data.samples] == ["a.jpg"]
        assert data.report.places == {
            "category without objects that others have as their supercategory: left out": [
                f"animals of {tmp_path / 'boxes.json'}"
            ],
            "image that no annotation file lists: left out": [str(tmp_path / "images" / "b.jpg")],
            "image file missing": [str(tmp_path / "images" / "gone.jpg")],
            "image without boxes: background": [str(tmp_path / "images" / "a.jpg")],
        }

    def test_files_of_one_split_are_an_error_however_many(self, tmp_path):
        for number in range(7):
            write_image(tmp_path / f"{number}.jpg")
            write_coco(tmp_path / f"{number}.json", f"{number}.jpg")
        with pytest.raises(ValueError, match=r"0.json and .*1.json are of one split, the whole"):
            load_folder(tmp_path)


class TestCVAT:
    def test_shapes_of_every_kind(self, tmp_path):
        write_image(tmp_path / "images" / "s" / "a.jpg")
        own = 'label="cat" source="manual" occluded="0" z_order="0"'
        shapes = (
            f'<box {own} xtl="10" ytl="20" xbr="30" ybr="50"/>'
            f'<box {own} xtl="10" ytl="20" xbr="50" ybr="40" rotation="90.0"/>'
            f'<polygon {own} points="10.0,20.0;30.0,20.0;30.0,50.0"/>'
            f'<ellipse {own} cx="20.0" cy="35.0" rx="10.0" ry="15.0"/>'
            f'<ellipse {own} cx="20.0" cy="35.0" rx="15.0" ry="10.0" rotation="90"/>'
            f'<mask {own} rle="2, 3, 2, 3" left="10" top="20" width="5" height="2"/>'
            f'<polyline {own} points="1.0,1.0;2.0,2.0"/>'
            f'<box {own} xtl="a" ytl="20" xbr="30" ybr="50"/>'
            '<tag label="cat" source="manual"/>'
            '<box label="bird" xtl="10" ytl="20" xbr="30" ybr="50"/>'
        )
        write_cvat(
            tmp_path,
            cvat_image("s/a.jpg", shapes),
            cvat_image("gone.jpg", ""),
            cvat_image("../x", ""),
        )
        data = only(tmp_path)
        assert data.classes == ["dog", "cat"]  # in the order of the task
        expected = [BOX, [20, 10, 40, 50], BOX, BOX, BOX, [12, 20, 15, 22]]
        np.testing.assert_allclose(data.samples[0].boxes, expected, atol=1e-5)
        counts = {
            "box with a rotation: its upright bounds are the box": 1,
            "ellipse with a rotation: its upright bounds are the box": 1,
            "polyline, which has no box: left out": 1,
            "box that cannot be read: left out": 1,
            "tag of the whole image: passed over": 1,
            "object of an unknown class": 1,
            "image file missing, or of a name that several have": 2,
        }
        assert data.report.counts == counts
        masked = only(tmp_path, masks=True)
        assert masked.report.counts["object without an outline, polygons or run lengths"] == 2
        areas = [area(masked, number) for number in range(4)]
        np.testing.assert_allclose(areas[:3], [300, 471, 471], rtol=0.06)
        assert areas[3] == 6
        pixels = mask(masked.samples[0].segmentations[3], (HEIGHT, WIDTH))
        assert pixels[20:22, 12:15].all()

    def test_a_turned_box_has_upright_bounds(self, tmp_path):
        write_image(tmp_path / "a.jpg")
        box = '<box label="cat" xtl="30" ytl="30" xbr="50" ybr="34" rotation="30"/>'
        write_cvat(tmp_path, cvat_image("a.jpg", box))
        half = np.abs(
            [[np.cos(np.pi / 6), np.sin(np.pi / 6)], [np.sin(np.pi / 6), np.cos(np.pi / 6)]]
        )
        half = half @ [10, 2]
        expected = [40 - half[0], 32 - half[1], 40 + half[0], 32 + half[1]]
        np.testing.assert_allclose(objects(only(tmp_path))[0][0][1], expected, atol=1e-4)

    def test_subsets_are_splits_and_a_video_is_refused(self, tmp_path):
        box = '<box label="cat" xtl="10" ytl="20" xbr="30" ybr="50"/>'
        for split in ("Train", "Validation"):
            write_image(tmp_path / "images" / split / "a.jpg")
        write_cvat(
            tmp_path,
            cvat_image("a.jpg", box, 'subset="Train"'),
            cvat_image("a.jpg", box, 'subset="Validation"'),
        )
        sets = load_folder(tmp_path / "annotations.xml")
        assert {name: data.samples[0].path.parent.name for name, data in sets.items()} == {
            "train": "Train",
            "val": "Validation",
        }
        write_cvat(tmp_path, '<track id="0" label="cat"/>')
        with pytest.raises(ValueError, match="has tracks, as CVAT for video"):
            load_folder(tmp_path)

    def test_a_file_for_each_of_many_tasks(self, tmp_path):
        box = '<box label="cat" xtl="10" ytl="20" xbr="30" ybr="50"/>'
        for number in range(7):
            write_image(tmp_path / "images" / f"{number}.jpg")
            write_cvat(tmp_path, cvat_image(f"{number}.jpg", box))
            (tmp_path / "annotations.xml").rename(tmp_path / f"{number}.xml")
        (tmp_path / "0.xml").write_text("<annot")
        data = only(tmp_path)
        assert len(data.samples) == 6
        assert data.report.places == {
            "annotation file that is no XML: left out": [str(tmp_path / "0.xml")],
            "image that no annotation file lists: left out": [str(tmp_path / "images" / "0.jpg")],
        }


class TestLabelStudio:
    def export(self, folder, *results, image="/data/upload/1/0a1b2c3d-a.jpg", **more):
        annotations = [{"id": n, "result": result} for n, result in enumerate(results)]
        task = {"id": 7, "data": {"image": image}, "annotations": annotations} | more
        (folder / "export.json").write_text(json.dumps([task]))

    def test_regions_of_every_kind(self, tmp_path):
        write_image(tmp_path / "a.jpg")
        mask_of = np.zeros((HEIGHT, WIDTH, 4), int)
        mask_of[20:50, 10:30] = 255
        mask_of[20, 10] = 0
        turned = {"x": 50, "y": 25, "width": 20, "height": 25, "rotation": 90}
        self.export(
            tmp_path,
            [
                region("rectanglelabels", {"x": 10, "y": 25, "width": 20, "height": 37.5}),
                region("rectanglelabels", turned),
                region("polygonlabels", {"points": [[10, 25], [30, 25], [30, 62.5]]}, ["dog"]),
                region("ellipselabels", {"x": 20, "y": 43.75, "radiusX": 10, "radiusY": 18.75}),
                region("brushlabels", {"format": "rle", "rle": packed(mask_of.ravel().tolist())}),
                region("choices", {"choices": ["day"]}),
                region("rectanglelabels", {"x": 10}),
                region("rectanglelabels", {"x": 1, "y": 1, "width": 9, "height": 9}, []),
                region("rectanglelabels", {}, original_width=WIDTH + 1),
                region("rectanglelabels", {}, image_rotation=90),
            ],
        )
        data = only(tmp_path / "export.json")
        assert data.classes == ["cat", "dog"]
        # It turns about its upper left corner, (50, 20): 20 high by 20 wide, to its left.
        expected = [BOX, [30, 20, 50, 40], BOX, BOX, BOX]
        np.testing.assert_allclose(data.samples[0].boxes, expected, atol=1e-5)
        assert data.report.counts == {
            "rectanglelabels with a rotation: their upright bounds are the box": 1,
            "result of kind choices: passed over": 1,
            "rectanglelabels that cannot be read: left out": 1,
            "region without a label: left out": 1,
            "region of an image of another size: left out": 1,
            "region of an image that was turned in Label Studio: left out": 1,
        }
        masked = only(tmp_path, masks=True)
        areas = [area(masked, number) for number in range(3)]
        np.testing.assert_allclose(areas[:2], [300, 471], rtol=0.06)
        assert areas[2] == 599

    @pytest.mark.parametrize(
        "image", ["/data/local-files/?d=x/a.jpg", "s3://bucket/x/a.jpg", "C:\\x\\a.jpg", "a%2ejpg"]
    )
    def test_names_of_images(self, tmp_path, image):
        write_image(tmp_path / "photos" / "a.jpg")
        value = {"x": 10, "y": 25, "width": 20, "height": 37.5}
        self.export(tmp_path, [region("rectanglelabels", value, ["cat", "big"])], image=image)
        data = only(tmp_path)
        assert objects(data) == [[("cat", BOX), ("big", BOX)]]
        assert data.report.counts == {"region of several labels: an object for each": 1}

    def test_several_annotations_need_a_ground_truth(self, tmp_path):
        write_image(tmp_path / "a.jpg")
        box = [region("rectanglelabels", {"x": 10, "y": 25, "width": 20, "height": 37.5})]
        self.export(tmp_path, [], box)
        with pytest.raises(ValueError, match=r"task 7 of export.json has 2 annotations"):
            load_folder(tmp_path)
        content = json.loads((tmp_path / "export.json").read_text())
        content[0]["annotations"][1]["ground_truth"] = True
        content += [
            {"data": {"image": "a.jpg"}, "annotations": [{"result": box}]},
            {"data": {"image": "b.jpg"}, "annotations": []},
        ]
        (tmp_path / "export.json").write_text(json.dumps(content))
        data = only(tmp_path)
        assert objects(data) == [[("cat", BOX)]]
        assert data.report.counts == {
            "task with several annotations: the ground truth is taken": 1,
            "second task of an image: left out": 1,
            "task without its image: left out": 1,
        }
        content[0]["annotations"][0]["was_cancelled"] = True
        (tmp_path / "export.json").write_text(json.dumps(content))
        assert only(tmp_path).report.counts["annotation that was skipped: left out"] == 1

    def test_many_files(self, tmp_path):
        value = {"x": 10, "y": 25, "width": 20, "height": 37.5}
        for number in range(7):
            write_image(tmp_path / f"{number}.jpg")
            self.export(tmp_path, [region("rectanglelabels", value)], image=f"{number}.jpg")
            (tmp_path / "export.json").rename(tmp_path / f"{number}.json")
        (tmp_path / "0.json").write_text("[{")
        data = only(tmp_path)
        assert objects(data) == [[("cat", BOX)]] * 6
        assert data.report.places == {
            "annotation file that is no JSON: left out": [str(tmp_path / "0.json")],
            "image that no annotation file lists: left out": [str(tmp_path / "0.jpg")],
        }

    def test_json_min_and_a_file_for_each_task(self, tmp_path):
        for name in "abc":
            write_image(tmp_path / "min" / f"{name}.jpg")
        box = {"x": 10, "y": 25, "width": 20, "height": 37.5, "rotation": 0}
        box |= {"original_width": WIDTH, "original_height": HEIGHT}
        outline = {"points": [[10, 25], [30, 25], [30, 62.5]], "polygonlabels": ["dog"]}
        tasks = [
            {"id": 1, "image": "/data/upload/a.jpg", "label": [box | {"rectanglelabels": ["cat"]}]},
            {"id": 2, "image": "/data/upload/b.jpg", "annotator": 1},
            {"id": 3, "image": "c.jpg", "day": "yes", "outlines": [outline], "label": [box]},
        ]
        (tmp_path / "min" / "export.json").write_text(json.dumps(tasks))
        data = only(tmp_path / "min")
        assert objects(data) == [[("cat", BOX)], [], [("dog", BOX)]]
        write_image(tmp_path / "one" / "a.jpg")
        self.export(tmp_path / "one", [region("rectanglelabels", box)])
        file = tmp_path / "one" / "export.json"
        file.write_text(json.dumps(json.loads(file.read_text())[0]))
        assert objects(only(tmp_path / "one")) == [[("cat", BOX)]]

    def test_run_lengths_that_are_cut_off(self):
        numbers = [0] * 300 + [255] * 7 + list(range(11))
        assert unpacked(bytes(packed(numbers))).tolist() == numbers
        with pytest.raises(ValueError, match="cut off"):
            unpacked(bytes(packed(numbers))[:-3])


class TestSupervisely:
    def test_objects_of_every_kind(self, tmp_path):
        write_image(tmp_path / "train" / "img" / "a.jpg")
        write_image(tmp_path / "train" / "img" / "b.jpg")
        square = [[10, 20], [30, 20], [30, 50], [10, 50]]
        hole = [[15, 25], [25, 25], [25, 45], [15, 45]]
        ring = np.ones((30, 20))
        ring[1:-1, 1:-1] = 0
        objects_of = [
            ("rectangle", {"points": {"exterior": [[29, 49], [10, 20]], "interior": []}}),
            ("rectangle", {"points": {"exterior": [[10.5, 20], [30, 50]], "interior": []}}),
            ("polygon", {"points": {"exterior": square, "interior": []}}),
            ("polygon", {"points": {"exterior": square, "interior": [hole]}}),
            ("bitmap", {"bitmap": {"data": bitmap(ring), "origin": [10, 20]}}),
            ("bitmap", {"bitmap": {"data": "?", "origin": [10, 20]}}),
            ("point", {"points": {"exterior": [[10, 20]], "interior": []}}),
        ]
        content = {
            "size": {"height": HEIGHT, "width": WIDTH},
            "objects": [
                {"classTitle": "cat", "geometryType": kind} | more for kind, more in objects_of
            ],
        }
        ann = tmp_path / "train" / "ann"
        ann.mkdir()
        (ann / "a.jpg.json").write_text(json.dumps(content))
        (ann / "gone.jpg.json").write_text(json.dumps(content))
        meta = {"classes": [{"title": "dog", "shape": "bitmap"}, {"title": "cat"}], "tags": []}
        (tmp_path / "meta.json").write_text(json.dumps(meta))
        data = load_folder(tmp_path)["train"]
        assert data.classes == ["dog", "cat"]
        expected = [BOX, [10.5, 20, 30, 50], BOX, BOX, BOX]
        np.testing.assert_allclose(data.samples[0].boxes, expected)
        assert data.report.counts == {
            "rectangle of whole pixels, the last ones within: right and bottom become 1 more, "
            "to be edges": 1,
            "bitmap that cannot be read: left out": 1,
            "point, which has no area: left out": 1,
            "annotation file without its image: left out": 1,
            "image without an annotation file: left out": 1,
        }
        masked = load_folder(tmp_path, masks=True)["train"]
        areas = [area(masked, number) for number in range(3)]
        np.testing.assert_allclose(areas, [600, 400, 96], rtol=0.1)
        assert areas[2] == 2 * 20 + 2 * 28


def test_a_detector_is_trained_on_any_format(tmp_path, capsys):
    """What the trainer opens; `test_train_detector` has the rest of a run."""
    for split, count in (("train", 4), ("valid", 2)):
        for number in range(count):
            name = tmp_path / split / f"{number}.jpg"
            write_image(name)
            write_voc(name.with_suffix(".xml"), voc_object("cat", [11, 21, 30, 50]))
    out = tmp_path / "out"
    sets = load_data(load("retinanet_finetune", data=str(tmp_path)), out)
    assert [len(data.samples) for data in sets] == [4, 2]
    assert "4 x file of boxes that count pixels from 1" in capsys.readouterr().out
    sets = load_data(load("retinanet_finetune", data=str(tmp_path / "train"), val_split=0.25), out)
    assert [len(data.samples) for data in sets] == [3, 1]
    own = {"data": str(tmp_path / "train"), "val_data": str(tmp_path / "valid")}
    sets = load_data(load("retinanet_finetune", **own), out)
    assert [len(data.samples) for data in sets] == [4, 2]
    with pytest.raises(ValueError, match="--val-data or --val-split is needed"):
        load_data(load("retinanet_finetune", data=own["data"], val_split=0.0), out)
    with pytest.raises(ValueError, match="is no JSON in COCO's format, which --images"):
        load_data(load("retinanet_finetune", images="x", **own), out)
    with pytest.raises(ValueError, match="no format 'x' of boxes"):
        load_data(load("retinanet_finetune", format="x", **own), out)
    shutil.rmtree(tmp_path / "train")
    with pytest.raises(ValueError, match="has no split to train on; it has val"):
        load_data(load("retinanet_finetune", data=str(tmp_path)), out)


def test_two_formats_that_fit_are_an_error_that_names_both(tmp_path):
    write_image(tmp_path / "a.jpg")
    write_voc(tmp_path / "a.xml", voc_object("cat", [11, 21, 30, 50]))
    write_labelme(tmp_path / "a.json", [shape("dog", [[10, 20], [30, 50]])], "a.jpg")
    with pytest.raises(ValueError, match=r"voc, as a.xml .*; labelme, as a.json .* --format"):
        load_folder(tmp_path)
    for name, expected in (("voc", "cat"), ("labelme", "dog")):
        assert objects(only(tmp_path, name=name)) == [[(expected, BOX)]]
    with pytest.raises(ValueError, match="no format 'x' of boxes; there are coco, voc"):
        load_folder(tmp_path, name="x")


def test_what_is_no_data_set(tmp_path):
    write_image(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="boxes in no format that is read"):
        load_folder(tmp_path)
    write_voc(tmp_path / "b.xml", voc_object("cat", BOX))
    with pytest.raises(ValueError, match=r"no image .* 1 x annotation file without its image"):
        open_splits(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no file or folder"):
        load_folder(tmp_path / "none")


def test_a_format_is_told_though_the_first_file_is_damaged(tmp_path):
    for number in range(7):
        for folder in ("voc", "labelme"):
            write_image(tmp_path / folder / f"{number}.jpg")
        write_voc(tmp_path / "voc" / f"{number}.xml", voc_object("cat", [11, 21, 30, 50]))
        box = [shape("cat", [[10, 20], [30, 50]])]
        write_labelme(tmp_path / "labelme" / f"{number}.json", box, f"{number}.jpg")
    for name, kind in (("voc/0.xml", "XML"), ("labelme/0.json", "JSON")):
        (tmp_path / name).write_text("")
        data = only((tmp_path / name).parent)
        assert objects(data) == [[("cat", BOX)]] * 6
        assert data.report.places[f"annotation file that is no {kind}: left out"] == [
            str(tmp_path / name)
        ]


def test_links_are_followed_once(tmp_path):
    write_image(tmp_path / "real" / "a.jpg")
    write_voc(tmp_path / "real" / "a.xml", voc_object("cat", [11, 21, 30, 50]))
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    shutil.copytree(tmp_path / "real", tmp_path / "set" / ".hidden", symlinks=True)
    assert objects(only(tmp_path / "set")) == [[("cat", BOX)]]
