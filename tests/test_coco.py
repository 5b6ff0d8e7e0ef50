"""COCO's JSON, sound and broken, and sets of tensorflow-datasets."""

import io
import json
import pathlib
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from detection_data import CLASSES, HEIGHT, WIDTH, change, load, write_set
from PIL import Image

from keras_pvt.detection.data.coco import load_coco
from keras_pvt.detection.data.tfds import as_coco

pytestmark = pytest.mark.one_backend("reads files")


@pytest.fixture
def file(tmp_path, rng):
    return write_set(tmp_path / "set", 3, rng)


def test_a_sound_set(file):
    data = load(file)
    assert data.classes == CLASSES  # by id, not as listed
    assert data.report.lines() == []
    assert data.max_boxes == 2
    content = json.loads(file.read_text())
    for number, sample in enumerate(data.samples):
        assert sample.path.name == f"{number}.png"
        assert (sample.height, sample.width) == (HEIGHT, WIDTH)
        assert sample.labels.tolist() == [0, 1]
        x, y, width, height = content["annotations"][2 * number]["bbox"]
        assert sample.boxes[0].tolist() == [x, y, x + width, y + height]
        assert sample.areas.tolist() == [22 * 22, 14 * 40]
        assert not sample.crowd.any()


def test_classes_of_the_training_set_decide_the_labels(file):
    data = load(file, classes=["bar", "circle"])
    assert [sample.labels.tolist() for sample in data.samples] == [[0], [0], [0]]
    assert data.report.counts == {"object of class 'square', which is not asked for: left out": 3}
    with pytest.raises(ValueError, match="different names; got bar, bar"):
        load(file, classes=["bar", "bar"])


BAD_BOXES = {
    "box that is not four finite numbers": [
        [1, 2, 3],
        None,
        "box",
        [0, 0, float("nan"), 5],
        [[1, 2]] * 4,
        [10**400, 0, 5, 5],
        {},
    ],
    "box without area": [[5, 5, 0, 8], [5, 5, 8, -3]],
    "box outside its image": [[WIDTH, 5, 9, 9], [-20, -20, 19, 19]],
}


@pytest.mark.parametrize("kind", BAD_BOXES)
def test_bad_boxes_are_left_out_and_named(file, kind):
    def spoil(content):
        for number, box in enumerate(BAD_BOXES[kind], 90):
            entry = {"id": number, "image_id": 11, "category_id": 3, "bbox": box}
            content["annotations"].append(entry)

    change(file, spoil)
    data = load(file)
    assert data.report.counts == {kind: len(BAD_BOXES[kind])}
    assert "annotation 90 of" in data.report.lines()[0]
    assert "1.png" in data.report.lines()[0]
    assert [len(sample.boxes) for sample in data.samples] == [2, 2, 2]


def test_a_box_over_the_edge_is_clipped(file):
    box = {"id": 90, "image_id": 11, "category_id": 7, "bbox": [80, -10, 30, 25], "iscrowd": 1}
    change(file, lambda content: content["annotations"].append(box))
    data = load(file)
    sample = data.samples[1]
    assert sample.boxes[2].tolist() == [80, 0, WIDTH, 15]
    assert sample.areas[2] == 16 * 15
    assert sample.crowd.tolist() == [False, False, True]
    assert data.max_boxes == 2  # crowds are not trained on
    assert data.report.counts == {"box over the edge of its image: clipped": 1}


def test_bad_images_are_left_out_and_named(file):
    images = file.parent / "images"
    (images / "0.png").unlink()
    (images / "1.png").write_bytes(b"")

    def spoil(content):
        content["images"] += [
            {"id": 20, "file_name": "2.png", "height": WIDTH, "width": HEIGHT},
            {"id": 21, "file_name": "2.png", "height": HEIGHT, "width": WIDTH},
        ]
        content["annotations"].append({"id": 91, "image_id": 99})

    change(file, spoil)
    data = load(file)
    assert data.report.counts == {
        "image file missing": 1,
        "image file that is no readable image": 1,
        "image of another size than its entry says": 1,
        "image file of a second id: kept for each, with the boxes of each": 1,
        "image without boxes: background": 1,
        "annotation of an image that is not listed": 1,
    }
    assert [len(sample.boxes) for sample in data.samples] == [2, 0]
    assert any("0.png" in line for line in data.report.lines())


def test_sizes_are_those_after_the_rotation_in_exif(file):
    photo = Image.new("RGB", (WIDTH, HEIGHT))
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(file.parent / "images" / "turned.jpg", exif=exif)
    entry = {"id": 30, "file_name": "turned.jpg", "height": WIDTH, "width": HEIGHT}
    change(file, lambda content: content["images"].append(entry))
    assert (load(file).samples[-1].height, load(file).samples[-1].width) == (WIDTH, HEIGHT)
    change(file, lambda content: content["images"][-1].update(height=HEIGHT, width=WIDTH))
    data = load(file)
    assert len(data.samples) == 3
    assert data.report.counts == {"image whose entry has its size before the turn in its EXIF": 1}


def test_images_that_are_elsewhere(file, tmp_path):
    with pytest.raises(ValueError, match=r"no image to use in '.*other', .*--images") as error:
        load_coco(file, tmp_path / "other")
    assert "3 x image file missing" in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no json", "no JSON file"),
        ("[]", "needs the lists images, annotations, categories"),
        ('{"images": [{}], "annotations": [], "categories": []}', "images[0] has no id"),
        ('{"images": [{"id": [1]}], "annotations": [], "categories": []}', "the id [1], no number"),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "category 1 has no name"),
        ('{"images": [], "annotations": [7], "categories": []}', "not in COCO's format"),
        ('{"images": [], "annotations": [], "categories": []}', "no image to use"),
    ],
)
def test_what_is_not_coco_is_one_error(file, text, words):
    file.write_text(text)
    with pytest.raises(ValueError, match=r"boxes\.json") as error:
        load(file)
    assert words in str(error.value)


class Builder:
    """Stands in for a set of tensorflow-datasets with one encoded image."""

    name = "voc"

    def __init__(self, features, examples, folder):
        self.info = type("Info", (), {"features": features})
        self.examples, self.data_dir_root = examples, folder
        self.prepared = False

    def is_prepared(self):
        return self.prepared

    def download_and_prepare(self):
        self.prepared = True

    def as_dataset(self, split, decoders):
        assert self.prepared
        assert list(decoders) == ["image"]  # which comes as it was encoded
        return self.examples[split]


@pytest.fixture
def builder(monkeypatch, tmp_path_factory):
    tfds = pytest.importorskip("tensorflow_datasets")
    png = io.BytesIO()
    Image.new("RGB", (200, 100)).save(png, "png")
    objects = {
        "bbox": np.array([[0.1, 0.25, 0.5, 1.0], [0.0, 0.0, 0.2, 0.1]], "float32"),
        "label": np.array([1, 0]),
        "is_difficult": np.array([False, True]),
    }
    names = type("ClassLabel", (), {"names": ["cat", "dog"]})
    builder = Builder(
        {"image": None, "objects": {"bbox": None, "label": names}},
        {"validation": [{"image": png.getvalue(), "objects": objects}]},
        tmp_path_factory.mktemp("sets"),
    )
    monkeypatch.setattr(tfds, "as_numpy", iter)
    monkeypatch.setattr(tfds, "builder", lambda name: builder)
    return builder


def test_a_set_of_tensorflow_datasets(builder, tmp_path):
    data = load_coco(*as_coco("voc/2007", "validation", tmp_path))
    assert data.classes == ["cat", "dog"]
    (sample,) = data.samples
    np.testing.assert_allclose(sample.boxes, [[50, 10, 200, 50], [0, 0, 20, 20]], rtol=1e-6)
    assert sample.labels.tolist() == [1, 0]
    assert sample.crowd.tolist() == [False, True]
    builder.examples.clear()  # what is written is not asked for again
    assert len(load_coco(*as_coco("voc/2007", "validation", tmp_path)).samples) == 1


def test_one_process_writes_and_all_read_the_same(builder, tmp_path, monkeypatch):
    """Four at once, here threads, as four processes of a run: each image is written once."""
    builder.examples["validation"] *= 30
    begun, written = threading.Barrier(4), []
    monkeypatch.setattr("tensorflow_datasets.builder", lambda name: (begun.wait(20), builder)[1])
    monkeypatch.setattr(
        pathlib.Path,
        "write_bytes",
        lambda path, content: written.append(path) or write(path, content),
    )

    def count(_):
        return len(load_coco(*as_coco("voc/2007", "validation", tmp_path)).samples)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(count, range(4))) == [30] * 4
    assert len(written) == len(set(written)) == 30


def write(path, content):
    with path.open("wb") as file:
        file.write(content)


def test_sets_without_boxes_or_name_are_refused(builder, tmp_path, monkeypatch):
    del builder.info.features["objects"]
    with pytest.raises(ValueError, match=r"mnist .* no images with boxes"):
        as_coco("mnist", "train", tmp_path)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="no_such_set is neither a file nor a set"):
        as_coco("no_such_set", "train", tmp_path)
