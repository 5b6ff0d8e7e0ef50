"""Sources of labelled images: folders, memory, tensorflow-datasets."""

import io
import logging
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from image_folders import write_classes
from PIL import Image

from keras_pvt.training.data import (
    FolderImages,
    InMemory,
    TfdsImages,
    open_images,
    open_train_and_val,
)
from keras_pvt.training.data import tfds as tfds_module
from keras_pvt.utils.data_report import DataReport
from keras_pvt.utils.image_files import image_files
from keras_pvt.utils.images import ImageError, load_image

pytestmark = pytest.mark.one_backend("reads files")

COUNTS = {"wolf": 2, "ant": 3, "Bee": 4}


def test_a_folder_is_read_in_the_order_of_names(tmp_path):
    folder = write_classes(tmp_path / "set", COUNTS)
    Image.new("RGB", (3, 4)).save(folder / "ant" / "99.JPG")
    (folder / "ant" / "notes.txt").write_text("no image")
    (folder / "ant" / ".hidden.png").write_text("no image")
    (folder / "ant" / "deeper.png").mkdir()
    (folder / ".cache").mkdir()
    (folder / "readme.md").write_text("no class")
    (folder / "ant" / "Thumbs.db").write_text("no image")
    images = FolderImages(folder)
    assert set(images.report.lines()) == {
        f"{count}: passed over{more}; the first is {folder / first}"
        for count, more, first in (
            ("2 x file without the ending of an image", "", "ant/Thumbs.db"),
            ("1 x folder in that of a class", ", with all in it", "ant/deeper.png"),
            ("1 x file beside the class folders", "", "readme.md"),
        )
    }
    assert images.classes == ("Bee", "ant", "wolf")
    assert images.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 2
    assert [images.label(n) for n in (3, 4, 9)] == [0, 1, 2]
    assert images.name(7) == str(folder / "ant" / "99.JPG")
    assert images.read(7).shape == (4, 3, 3)
    for n in (0, 5, 9):
        np.testing.assert_array_equal(images.read(n), load_image(images.name(n)))
        assert images.read(n)[0, 0, 0] == n - (n > 7)


def test_given_classes_decide_the_labels(tmp_path):
    folder = write_classes(tmp_path / "set", COUNTS)
    images = FolderImages(folder, classes=["wolf", "Bee", "ant"])
    assert images.labels.tolist() == [0] * 2 + [1] * 4 + [2] * 3
    assert images.read(0)[0, 0, 0] == 7  # the first wolf


@pytest.mark.parametrize(
    ("counts", "error", "words"),
    [
        (None, FileNotFoundError, "cannot be read"),
        ({}, ValueError, "it has none"),
        ({"ant": 3}, ValueError, "two or more classes; it has ant"),
        ({"ant": 3, "bee": 0}, ValueError, r"bee' has no image \(\.jpg, .* Pillow reads\)\.$"),
    ],
)
def test_folders_that_will_not_do(tmp_path, counts, error, words):
    folder = tmp_path / "set"
    if counts is not None:
        folder.mkdir()
        write_classes(folder, counts)
    with pytest.raises(error, match=words) as raised:
        FolderImages(folder)
    assert str(folder) in str(raised.value)


# Endings by which Pillow 11 writes images that it reads again to the pixel, or nearly.
WRITTEN = (
    ".apng", ".bmp", ".dds", ".dib", ".gif", ".icns", ".ico", ".j2k", ".jfif",
    ".jp2", ".jpe", ".jpeg", ".jpg", ".jpx", ".mpo", ".pcx", ".pgm", ".png", ".pnm", ".ppm",
    ".rgb", ".sgi", ".tga", ".tif", ".tiff", ".webp",
)  # fmt: skip


def test_all_endings_that_pillow_reads_are_read(tmp_path):
    gray = Image.new("RGB", (128, 128), (90, 90, 90))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for ending in WRITTEN:
            written = ending.upper() if name == "b" else ending
            gray.save(tmp_path / name / f"{ending[1:]}{written}")
        for other in ("film.mpg", "notes.txt", "page.pdf", "table.h5", "drawing.eps", "noending"):
            (tmp_path / name / other).write_text("no image")
    images = FolderImages(tmp_path)
    assert len(images) == 2 * len(WRITTEN)
    for n in range(len(images)):
        assert abs(images.read(n)[..., 0].astype(int) - 90).max() < 4, images.name(n)
    assert list(images.report.counts.values()) == [12]
    assert len(image_files([tmp_path / "a"], images.report)) == len(WRITTEN)


def test_endings_of_pillows_plugins_are_read(tmp_path, monkeypatch):
    """As of pillow-heif, which opens what phones write."""
    monkeypatch.setitem(Image.EXTENSION, ".heic", "PNG")
    write_classes(tmp_path, {"ant": 1, "bee": 1})
    (tmp_path / "ant" / "00.png").rename(tmp_path / "ant" / "00.HEIC")
    assert len(FolderImages(tmp_path)) == 2


def test_a_folder_without_an_image_says_what_is_in_it(tmp_path):
    write_classes(tmp_path, {"ant": 1, "bee": 0})
    (tmp_path / "bee" / "IMG_1.xyz").write_text("no image")
    with pytest.raises(ValueError, match=r"reads\); it has 1 other files, the first is IMG_1\.xyz"):
        FolderImages(tmp_path)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="file' cannot be read"):
        FolderImages(tmp_path / "file")


@pytest.mark.parametrize("name", ["val", "validation", "test"])
def test_train_and_val_of_a_folder(tmp_path, name):
    write_classes(tmp_path / "train", COUNTS)
    write_classes(tmp_path / name, dict.fromkeys(COUNTS, 1))
    for part in ("train", name):
        (tmp_path / part / "notes.txt").write_text("no class")
    report = DataReport()
    train, val = open_train_and_val(tmp_path, report=report)
    assert list(report.counts.values()) == [2]
    assert (len(train), len(val)) == (9, 3)
    assert train.classes == val.classes
    assert name in val.name(0)


def test_train_and_val_of_other_classes(tmp_path):
    write_classes(tmp_path / "train", COUNTS | {f"x{n}": 1 for n in range(7)})
    write_classes(tmp_path / "val", COUNTS | {"cat": 1})
    with pytest.raises(ValueError, match="x0, x1, x2, x3, x4 and 2 more; unknown: cat"):
        open_train_and_val(tmp_path)


def test_missing_parts_are_named(tmp_path):
    write_classes(tmp_path / "train", COUNTS)
    with pytest.raises(FileNotFoundError, match="no val or valid or validation or test"):
        open_train_and_val(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*absent"):
        open_images(tmp_path / "absent", "train")


def test_in_memory_is_the_same_images(tmp_path, caplog):
    source = FolderImages(write_classes(tmp_path / "set", COUNTS))
    (tmp_path / "set" / "ant" / "01.png").write_bytes(b"no image")
    with caplog.at_level(logging.INFO, "keras_pvt"):
        held = InMemory(source)
    assert (len(held), held.classes, held.label(8)) == (9, source.classes, 2)
    assert held.name(2) == source.name(2)
    good = [n for n in range(9) if n != 5]
    for n in good:
        np.testing.assert_array_equal(held.read(n), source.read(n))
        with pytest.raises(ValueError, match="read-only"):
            held.read(n)[:] = 0
    assert held.nbytes == sum(source.read(n).nbytes for n in good)
    assert "9 images take 0.0 MB" in caplog.text
    with pytest.raises(ImageError, match=r"01\.png"):
        held.read(5)


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
    """A folder with the sets "tiny_photographs", "no_photographs" and "old_photographs"."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("array_record")
    jpeg = io.BytesIO()
    Image.new("RGB", (200, 100)).save(jpeg, "jpeg")

    class TinyPhotographs(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(),
                "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples(6), "test": self._generate_examples(2)}

        def _generate_examples(self, count):
            for n in range(count):
                image = np.full((3 + n, 4, 3), n, "uint8")
                if n == 4:
                    image = io.BytesIO(jpeg.getvalue()[:400])
                yield n, {"image": image, "label": n % 2 if n < 5 else -1}

    class OldPhotographs(TinyPhotographs):
        pass

    class NoPhotographs(TinyPhotographs):
        def _info(self):
            features = tfds.features.FeaturesDict({"text": np.int64})
            return tfds.core.DatasetInfo(builder=self, features=features)

    folder = tmp_path_factory.mktemp("tfds")
    tfds.builder("old_photographs", data_dir=folder, file_format="tfrecord").download_and_prepare()
    return folder


def test_a_set_of_tensorflow_datasets(tfds_dir):
    images = TfdsImages("tiny_photographs", "train", tfds_dir)
    assert (len(images), images.classes) == (6, ("cat", "dog"))

    def gray(number):
        try:
            return int(images.read(number)[0, 0, 0])
        except ImageError:
            return 4

    by_gray = {gray(number): number for number in range(6)}
    assert [images.read(by_gray[n]).shape for n in (0, 5)] == [(3, 4, 3), (8, 4, 3)]
    with pytest.raises(ImageError, match=f"image {by_gray[4]} of tiny_photographs, train cannot"):
        images.read(by_gray[4])
    assert [images.label(by_gray[n]) for n in range(5)] == [0, 1, 0, 1, 0]
    with pytest.raises(ValueError, match=rf"image {by_gray[5]} of tiny_.* has the label -1"):
        images.label(by_gray[5])
    with pytest.raises(ValueError, match="label -1"):
        _ = images.labels


def test_splits_of_tensorflow_datasets(tfds_dir):
    train, val = open_train_and_val("tiny_photographs", data_dir=tfds_dir)
    assert (len(train), len(val)) == (6, 2)
    assert sorted(val.labels) == [0, 1]
    part = open_images("tiny_photographs", "train[:50%]", data_dir=tfds_dir)
    assert len(part) == 3
    with pytest.raises(ValueError, match=r"tiny_photographs .*'elsewhere'"):
        open_images("tiny_photographs", "elsewhere", data_dir=tfds_dir)


class Unwritten:
    """Stands in for a set that is not there yet: of two that write it at once, one fails."""

    name = "unwritten"

    def __init__(self, folder):
        self.data_dir_root = folder
        self.info = type("Info", (), {"splits": ["test"]})

    def is_prepared(self):
        return (self.data_dir_root / "there").exists()

    def download_and_prepare(self):
        if not self.is_prepared():
            part = self.data_dir_root / "part"
            part.mkdir()
            time.sleep(0.02)
            part.rename(self.data_dir_root / "there")


def test_one_process_of_a_machine_writes_a_set(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_module, "open_builder", lambda *_: Unwritten(tmp_path / "sets"))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: tfds_module.find_split("unwritten", "val"), range(4)))
    assert found == ["test"] * 4


def test_a_set_that_is_there_needs_no_folder_to_write_to(tmp_path):
    (tmp_path / "there").touch()
    tmp_path.chmod(0o500)
    tfds_module.download(Unwritten(tmp_path))
    tmp_path.chmod(0o700)
    assert [file.name for file in tmp_path.iterdir()] == ["there"]


def test_sets_that_will_not_do(tfds_dir, monkeypatch):
    with pytest.raises(ValueError, match='needs "image" and "label", a class; it has text'):
        open_images("no_photographs", "train", data_dir=tfds_dir)
    with pytest.raises(ValueError, match=r"old_photographs .*as tfrecord, .* another `data_dir`"):
        open_images("old_photographs", "train", data_dir=tfds_dir)
    with pytest.raises(ValueError, match="no_such_set is neither a folder nor a set"):
        open_images("no_such_set", "train", data_dir=tfds_dir)
    monkeypatch.setitem(sys.modules, "array_record", None)
    with pytest.raises(ImportError, match=r"'cifar10' is no folder.*pip install"):
        open_images("cifar10", "train")
