"""A part to validate on, where the data have none: drawn by a seed, and said."""

import numpy as np
import pytest
from detection_data import write_set
from image_folders import write_images
from PIL import Image

from keras_pvt.detection.train import load_data
from keras_pvt.recipes.files import load
from keras_pvt.segmentation.data.opening import open_train_and_val as open_masks
from keras_pvt.training.data import FolderImages, open_images, open_train_and_val
from keras_pvt.training.data.split import drawn, stratified

pytestmark = pytest.mark.one_backend("reads files")

COUNTS = {"ant": 20, "bee": 7, "cat": 2, "dog": 1}


@pytest.fixture
def folder(tmp_path, rng):
    write_images(tmp_path / "data", COUNTS, lambda *_: rng.integers(0, 256, (9, 8, 3)))
    return tmp_path / "data"


def names(images):
    return [images.name(number) for number in range(len(images))]


def test_each_class_gives_its_share(folder):
    whole = FolderImages(folder)
    first, second = stratified(whole, 0.3, seed=5)
    assert first.classes == second.classes == whole.classes
    np.testing.assert_array_equal(np.bincount(second.labels, minlength=4), [6, 2, 1, 0])
    np.testing.assert_array_equal(np.bincount(first.labels, minlength=4), [14, 5, 1, 1])
    assert sorted(names(first) + names(second)) == sorted(names(whole))
    numbers = {name: number for number, name in enumerate(names(whole))}
    for number, name in enumerate(names(second)):
        assert second.label(number) == whole.label(numbers[name])
        np.testing.assert_array_equal(second.read(number), whole.read(numbers[name]))


def test_the_seed_decides(folder):
    whole = FolderImages(folder)
    once, again, other = (names(stratified(whole, 0.3, seed)[1]) for seed in (5, 5, 6))
    assert once == again != other


@pytest.mark.parametrize(("count", "share", "second"), [(2, 0.01, 1), (2, 0.99, 1), (10, 0.25, 2)])
def test_no_part_is_empty(count, share, second):
    first, other = drawn(count, share, 0)
    assert (len(first), len(other)) == (count - second, second)
    assert sorted([*first, *other]) == list(range(count))


def test_what_folders_are_split(folder, tmp_path):
    """Class folders alone, or a training set alone; not where there is something to validate on."""
    assert list(map(len, open_train_and_val(folder, val_split=0.3))) == [21, 9]
    with pytest.raises(
        FileNotFoundError, match=r"has no train or training: .* as train/CLASS.*`val_split`"
    ):
        open_train_and_val(folder)
    (tmp_path / "parts").mkdir()
    folder.rename(tmp_path / "parts" / "train")
    assert list(map(len, open_train_and_val(tmp_path / "parts", val_split=0.3))) == [21, 9]
    write_images(
        tmp_path / "parts" / "test", dict.fromkeys(COUNTS, 1), lambda *_: np.ones((9, 9, 3))
    )
    assert list(map(len, open_train_and_val(tmp_path / "parts", val_split=0.3))) == [30, 4]


@pytest.mark.parametrize("parts", [("train", "valid"), ("Training", "Validation")])
def test_names_of_splits(folder, tmp_path, parts):
    """Roboflow writes train, valid and test."""
    data = tmp_path / "parts"
    data.mkdir()
    folder.rename(data / parts[0])
    for name, count in ((parts[1], 2), ("test", 1)):
        write_images(data / name, dict.fromkeys(COUNTS, count), lambda *_: np.ones((9, 9, 3)))
    assert list(map(len, open_train_and_val(data, val_split=0.3))) == [30, 8]
    assert len(open_images(data, "test")) == 4


def test_a_class_may_be_called_train(tmp_path):
    write_images(tmp_path / "data", {"train": 5, "plane": 5}, lambda *_: np.ones((9, 9, 3)))
    first, second = open_train_and_val(tmp_path / "data", val_split=0.2)
    assert first.classes == ("plane", "train")
    assert (len(first), len(second)) == (8, 2)


def test_a_stray_image_makes_no_class_of_a_split(tmp_path):
    for split in ("train", "val"):
        write_images(tmp_path / split, {"ant": 2, "bee": 2}, lambda *_: np.ones((9, 9, 3)))
        Image.new("RGB", (9, 9)).save(tmp_path / split / "cover.png")
    first, second = open_train_and_val(tmp_path, val_split=0.2)
    assert first.classes == second.classes == ("ant", "bee")
    assert (len(first), len(second)) == (4, 4)


def test_boxes(tmp_path, rng, capsys):
    file = write_set(tmp_path / "set", 10, rng)
    recipe = load("retinanet_finetune", data=str(file), images=str(tmp_path / "set" / "images"))
    first, second = load_data(recipe, tmp_path)
    assert (len(first.samples), len(second.samples)) == (8, 2)
    paths = {sample.path for sample in first.samples + second.samples}
    assert len(paths) == 10
    out = capsys.readouterr().out
    assert (
        "there is no --val-data: 20% of the images are taken to validate on, drawn by seed 0" in out
    )
    assert "validation: 2 images with 4 boxes of 2 classes" in out


@pytest.mark.parametrize("layout", [("images", "masks"), ("train", "train_labels")])
def test_masks(tmp_path, rng, layout):
    for folder in layout:
        (tmp_path / folder).mkdir()
    for n in range(5):
        pixels = rng.integers(0, 256, (8, 9, 3)).astype("uint8")
        Image.fromarray(pixels).save(tmp_path / layout[0] / f"{n}.png")
        Image.fromarray(np.full((8, 9), n % 3, "uint8")).save(tmp_path / layout[1] / f"{n}.png")
    first, second = open_masks(tmp_path, val_split=0.4, seed=1)
    assert first.classes == second.classes == ("0", "1", "2")
    every = [one.name(n) for one in (first, second) for n in range(len(one))]
    assert (len(first), len(second), len(set(every))) == (3, 2, 5)
    with pytest.raises(FileNotFoundError):
        open_masks(tmp_path)
