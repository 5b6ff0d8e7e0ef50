"""The training example: it learns, goes on where it was stopped, and names bad input."""

import csv
import importlib.util
import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

SCRIPT = pathlib.Path(__file__).parents[1] / "examples" / "train_classifier.py"


@pytest.fixture(scope="module")
def trainer():
    spec = importlib.util.spec_from_file_location("train_classifier", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def data(tmp_path, rng):
    """Two classes that differ in brightness: learnt in a few steps."""
    for part, count in (("train", 24), ("val", 8)):
        for name, level in (("dark", 60), ("light", 190)):
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True)
            for n in range(count):
                pixels = rng.integers(level - 40, level + 40, (20, 20, 3)).astype("uint8")
                Image.fromarray(pixels).save(folder / f"{n}.png")
    return tmp_path / "data"


def run(trainer, data, out, epochs):
    small = ["--batch-size=8", "--image-size=16", "--warm-up=0.5", "--shift=1"]
    return trainer.main(
        [
            "--data",
            str(data),
            "--out",
            str(out),
            "--epochs",
            str(epochs),
            *small,
            "--optimizer=muon",
        ]
    )


def test_it_learns_and_goes_on_where_it_stopped(trainer, data, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(trainer, data, out, 2) == 0
    assert run(trainer, data, out, 4) == 0
    rows = list(csv.DictReader((out / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    assert "val accuracy 1.0000 on 16 images" in capsys.readouterr().out
    assert np.asarray(Image.open(out / "curves.png")).std() > 1
    model = keras.saving.load_model(out / "model.keras")
    assert model.output_shape == (None, 2)


def test_batches_are_the_same_for_a_seed_and_differ_by_epoch(trainer, rng):
    images = rng.integers(0, 256, (20, 8, 8, 3)).astype("uint8")
    labels = np.eye(20, dtype="float32")
    first, again, later = (trainer.Batches(images, labels, 8, 0, epoch, 2) for epoch in (0, 0, 1))
    np.testing.assert_array_equal(first[1][0], again[1][0])
    assert (first[1][1] != later[1][1]).any()
    first.on_epoch_end()
    np.testing.assert_array_equal(first[0][0], later[0][0])
    assert len(first) == 2


def test_bad_input_is_one_line(trainer, data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(trainer, data, tmp_path / "out", 0)
    assert "--epochs must be above 0; got 0" in capsys.readouterr().err
    (data / "val" / "dark").rename(data / "val" / "dusk")
    assert run(trainer, data, tmp_path / "out", 1) == 1
    assert "need the same class folders" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
