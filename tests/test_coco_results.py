"""COCO's results: the image and the category that each entry names."""

import json

import numpy as np
import pytest

from keras_pvt.detection.coco_results import CocoResults
from keras_pvt.detection.results import Detections

pytestmark = pytest.mark.one_backend("compares paths")

CATEGORIES = [{"id": 3, "name": "rose"}, {"id": 7, "name": "tulip"}]


@pytest.fixture
def write(tmp_path):
    """Writes annotations with images of these names, of the ids 1, 2 and so on."""

    def write(*names, categories=CATEGORIES, **more):
        path = tmp_path / "set.json"
        images = [{"id": n, "file_name": name} for n, name in enumerate(names, 1)]
        path.write_text(json.dumps({"images": images, "categories": categories} | more))
        return path

    return write


def image_ids(files, annotations=None, classes=("rose",)):
    """Of the entry of a detection in each file."""
    results = CocoResults(classes, files, annotations)
    box, score, label = np.array([[1, 2, 5, 8]], "float32"), np.array([0.5]), np.array([0])
    entries = [
        entry for file in files for entry in results.entries(Detections(file, box, score, label))
    ]
    assert [entry["bbox"] for entry in entries] == [[1, 2, 4, 6]] * len(files)
    return [entry["image_id"] for entry in entries]


@pytest.fixture
def files(tmp_path):
    """Two of the same name; results need only their paths."""
    return [tmp_path / "cam1" / "0001.jpg", tmp_path / "cam2" / "0001.jpg"]


@pytest.mark.parametrize(
    "names",
    [
        ("cam2/0001.jpg", "cam1/0001.jpg"),
        ("cam2\\0001.jpg", "cam1\\0001.jpg"),  # as Windows writes it
        ("./cam2/0001.jpg", "cam3/../cam1/0001.jpg"),
        ("0001.jpg", "cam1/0001.jpg"),  # the first is the end of either path
        ("train/cam2/0001.jpg", "train/cam1/0001.jpg"),  # of other folders
        ("cam3/0001.jpg", "cam2/0001.jpg", "cam1/0001.jpg"),
    ],
)
def test_the_longest_end_of_a_path_decides(write, files, names):
    count = len(names)
    assert image_ids(files, write(*names)) == [count, count - 1]


def test_paths_that_are_relative_are_those_from_here(write, tmp_path, monkeypatch):
    (tmp_path / "cam1").mkdir()
    monkeypatch.chdir(tmp_path / "cam1")
    (file,) = [type(tmp_path)("0001.jpg")]
    assert image_ids([file], write("cam2/0001.jpg", "cam1/0001.jpg")) == [2]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (
            ("cam3/0001.jpg", "cam4/0001.jpg"),
            r"2 images that may be .*: cam3/0001.jpg \(id 1\), cam4",
        ),
        (("cam1/0001.jpg", "cam1/0001.jpg"), r"2 images that may be"),  # two ids
        (("cam1/0001.jpg",), "cam2/0001.jpg would both be the image cam1/0001.jpg"),
        (("0001.jpg",), "would both be the image 0001.jpg"),
        (("cam1/0001.jpg", "cam2/0002.jpg"), "would both be"),
        (("cam1/0002.jpg",), r"has no image .*cam1/0001.jpg"),
    ],
)
def test_an_ambiguity_is_an_error(write, files, names, words):
    with pytest.raises(ValueError, match=words):
        image_ids(files, write(*names))


def test_another_folder_is_said(write, files):
    results = CocoResults(["rose"], files[:1], write("photos/0001.jpg"))
    assert results.images[files[0]]["image_id"] == 1
    (line,) = results.report.lines()
    assert "in another folder" in line
    assert "photos/0001.jpg, taken to be" in line


def test_images_of_one_id_have_no_results(write, files):
    images = [{"id": 0, "file_name": name} for name in ("cam1/0001.jpg", "cam2/0001.jpg")]
    with pytest.raises(ValueError, match="2 x image of another's id"):
        image_ids(files, write(images=images))


def test_without_annotations_the_path_names_the_image(files, tmp_path):
    assert image_ids(files) == ["cam1/0001.jpg", "cam2/0001.jpg"]
    assert image_ids(files[:1]) == ["0001.jpg"]
    assert image_ids([*files, tmp_path / "a.jpg"])[2] == "a.jpg"
    assert image_ids([files[0], files[0]]) == ["0001.jpg"] * 2


def test_ids_are_as_the_file_has_them(write, files):
    images = [{"id": "12", "file_name": "0001.jpg"}]
    annotations = write(images=images, categories=[{"id": "3", "name": "rose"}])
    results = CocoResults(["rose"], files[:1], annotations)
    assert results.images[files[0]]["image_id"] == "12"
    assert results.categories == {"rose": "3"}


def test_of_categories_of_one_name_the_one_in_use_is_taken(write, files):
    twice = [{"id": 0, "name": "rose"}, *CATEGORIES]
    used = [{"id": 1, "image_id": 1, "category_id": 3}]
    annotations = write("0001.jpg", categories=twice, annotations=used)
    assert CocoResults(["rose"], files[:1], annotations).categories == {"rose": 3}
    assert CocoResults(["tulip"], files[:1], annotations).categories == {"tulip": 7}
    with pytest.raises(ValueError, match="several categories 'rose', of the ids 0, 3"):
        CocoResults(["rose"], files[:1], write("0001.jpg", categories=twice))
    with pytest.raises(ValueError, match="has no category lily"):
        CocoResults(["rose", "lily"], files[:1], annotations)
