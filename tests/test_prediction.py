"""Predictions for files: order, batches, damaged files, and which model is asked."""

import numpy as np
import pytest
from PIL import Image

from keras_pvt.classification.predictor import FileClassifier
from keras_pvt.utils.image_files import image_files
from keras_pvt.utils.images import eval_transform

pytestmark = pytest.mark.one_backend("reads files")


class MeanColour:
    """Stands in for a model: the mean of each channel, and a record of the batches."""

    def __init__(self):
        self.shapes = []

    def predict_on_batch(self, batch):
        self.shapes.append(batch.shape)
        return batch.mean(axis=(1, 2), dtype="float64")


@pytest.fixture
def folder(tmp_path, rng):
    """Seven images of 60x40 and two damaged files, among others."""
    for n in range(7):
        pixels = rng.integers(0, 256, (40, 60, 3), dtype="uint8")
        Image.fromarray(pixels).save(tmp_path / f"{n}.png")
    (tmp_path / "2b.JPG").write_bytes(b"no image")
    (tmp_path / "5b.png").write_bytes((tmp_path / "5.png").read_bytes()[:900])
    (tmp_path / "notes.txt").write_text("no image either")
    return tmp_path


@pytest.mark.parametrize("batch_size", [1, 3, 7, 50])
def test_order_errors_and_one_shape(folder, batch_size):
    model = MeanColour()
    files = image_files([folder])
    predictions = list(FileClassifier(model, 24, 28).predict(files, batch_size))
    assert [p.path for p in predictions] == files
    assert [p.path.name for p in predictions if p.scores is None] == ["2b.JPG", "5b.png"]
    for prediction in predictions:
        if prediction.scores is None:
            assert prediction.path.name in prediction.error
        else:
            crop = eval_transform(prediction.path, 24, 28)
            np.testing.assert_allclose(prediction.scores, crop.mean(axis=(0, 1)))
    # A damaged file keeps its place in a batch; a batch of damaged files alone is left out.
    batches = [predictions[n : n + batch_size] for n in range(0, 9, batch_size)]
    seen = [batch for batch in batches if any(one.scores is not None for one in batch)]
    assert model.shapes == [(batch_size, 24, 24, 3)] * len(seen)


def test_a_file_that_vanishes_is_reported(folder):
    files = image_files([folder / "0.png", folder / "1.png"])
    files[0].unlink()
    missing, there = FileClassifier(MeanColour(), 24, 28).predict(files)
    assert "0.png cannot be opened" in missing.error
    assert there.error is None


def test_sources_are_files_and_folders(folder, tmp_path_factory, caplog):
    (folder / ".hidden.png").write_text("no image")
    (folder / "deeper.png").mkdir()
    files = image_files([folder / "notes.txt", folder])
    (record,) = caplog.records
    assert record.getMessage() == (
        f"1 x file without the ending of an image: passed over; the first is {folder}/notes.txt"
    )
    assert [file.name for file in files][:3] == ["notes.txt", "0.png", "1.png"]
    assert len(files) == 10
    with pytest.raises(ValueError, match="has no image"):
        image_files([tmp_path_factory.mktemp("empty")])
    with pytest.raises(FileNotFoundError, match="absent"):
        image_files([folder / "absent"])


def test_reading_runs_ahead_but_not_far(folder):
    """While the model has the first batch, at most two more are decoded."""
    taken = []

    def files():
        for _ in range(100):
            taken.append(None)
            yield folder / "0.png"

    predictions = FileClassifier(MeanColour(), 24, 28).predict(files(), batch_size=4)
    next(predictions)
    assert len(taken) == 4 + 2 * 4
    predictions.close()


def test_a_failure_of_the_model_is_not_swallowed(folder):
    class Broken:
        def predict_on_batch(self, batch):
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        list(FileClassifier(Broken(), 24, 28).predict(image_files([folder])))
