"""Metrics of a set against sets of pixels, evaluation, and the file of a segmenter."""

import keras
import numpy as np
import pytest

from keras_pvt.segmentation import PixelCrossentropy, Predictor
from keras_pvt.segmentation.data.samples import LabelRule, SegmentationSet
from keras_pvt.segmentation.evaluation import evaluate
from keras_pvt.segmentation.metrics import Confusion
from keras_pvt.utils.data_report import DataReport

pytestmark = pytest.mark.one_backend("counts pixels")

CLASSES = ("sky", "tree", "road", "car")


def pixels(arrays, label, counts):
    """The pixels of some arrays that have a label, by array and position."""
    return {
        (number, position)
        for number, (array, valid) in enumerate(zip(arrays, counts, strict=True))
        for position, (value, used) in enumerate(zip(array.flat, valid.flat, strict=True))
        if used and value == label
    }


def test_results_are_those_of_sets_of_pixels(rng):
    """Over two images together, of unequal sizes; one class is never there nor predicted."""
    confusion, truths, predictions = Confusion(CLASSES), [], []
    for shape in ((30, 40), (7, 9)):
        truth = rng.choice([0, 1, 2, 255], shape, p=[0.5, 0.3, 0.1, 0.1]).astype("uint8")
        prediction = np.where(rng.random(shape) < 0.6, truth % 255, rng.integers(0, 3, shape))
        confusion.add(truth, prediction.astype("uint8"))
        truths.append(truth)
        predictions.append(prediction)
    counts = [truth != 255 for truth in truths]
    found, there = (
        [pixels(arrays, label, counts) for label in range(3)] for arrays in (predictions, truths)
    )
    hits = [len(a & b) for a, b in zip(found, there, strict=True)]
    iou = [hit / len(a | b) for hit, a, b in zip(hits, found, there, strict=True)]
    results = confusion.results()
    assert [results[f"IoU {name}"] for name in CLASSES[:3]] == pytest.approx(iou)
    assert len(set(iou)) == 3
    assert np.isnan(results["IoU car"])
    assert results["mIoU"] == pytest.approx(sum(iou) / 3)
    assert results["pixel_accuracy"] == pytest.approx(sum(hits) / sum(map(np.sum, counts)))
    recall = [hit / len(b) for hit, b in zip(hits, there, strict=True)]
    assert results["mean_accuracy"] == pytest.approx(sum(recall) / 3)


def test_a_class_that_is_only_predicted_counts_in_one_mean():
    """Its IoU is 0, as it is wrong; there is nothing of it that could be found."""
    confusion = Confusion(CLASSES)
    confusion.add(np.array([0, 0, 0, 0]), np.array([0, 0, 0, 3]))
    results = confusion.results()
    assert (results["IoU sky"], results["IoU car"]) == (0.75, 0)
    assert (results["mIoU"], results["mean_accuracy"]) == (0.375, 0.75)


def test_nothing_to_count_is_nan():
    confusion = Confusion(CLASSES)
    confusion.add(np.full((2, 2), 255), np.zeros((2, 2), int))
    assert all(np.isnan(value) for value in confusion.results().values())


def test_labels_that_do_not_fit_are_named():
    confusion = Confusion(CLASSES)
    with pytest.raises(ValueError, match=r"true labels must be 0\.\.3.*got 0\.\.9"):
        confusion.add(np.array([0, 9]), np.array([0, 0]))
    with pytest.raises(ValueError, match=r"predicted labels must be 0\.\.3.*got -1\.\.0"):
        confusion.add(np.array([0, 0]), np.array([0, -1]))
    with pytest.raises(ValueError, match=r"shape \(2, 3\) were predicted as \(3, 2\)"):
        confusion.add(np.zeros((2, 3), int), np.zeros((3, 2), int))
    assert not confusion.counts.any()


def test_label_255_is_ignored_only_where_it_is_no_class():
    names = [str(number) for number in range(280)]
    with pytest.raises(ValueError, match="label 255 is ignored by default, and is one of 280"):
        Confusion(names)
    confusion = Confusion(names, ignore=-1)
    confusion.add(np.array([255, 279, -1]), np.array([255, 255, 0], "uint16"))
    assert confusion.results()["IoU 255"] == 0.5
    assert confusion.results()["IoU 279"] == 0
    assert confusion.counts.sum() == 2
    Confusion(names[:255])  # 255 is none of these


class Pairs:
    """Three images of two colours, the classes, and one that cannot be read."""

    def __init__(self, unreadable=(1,)):
        self.unreadable = unreadable

    def __len__(self):
        return 4

    def name(self, number):
        return f"image{number}.png"

    def image(self, number):
        if number in self.unreadable:
            raise OSError("is damaged")
        return np.stack([255 * (self.ids(number) == n) for n in range(3)], -1).astype("uint8")

    def ids(self, number):
        return np.random.default_rng(number).integers(0, 3, (32, 64 + 32 * (number % 2)))


def data_set(classes=CLASSES[:3], **options):
    return SegmentationSet(Pairs(**options), range(4), classes, LabelRule(), DataReport())


def colour_model(swap=False):
    """Sees the classes of `Pairs` by their colours; `swap` takes two for each other."""
    inputs = keras.Input((None, None, 3))
    logits = keras.layers.Conv2D(3, 1, use_bias=False, name="logits")
    scaled = keras.layers.Rescaling(1 / 255, name="preprocessing")(inputs)
    model = keras.Model(inputs, logits(scaled))
    kernel = np.eye(3, dtype="float32")
    logits.set_weights([kernel[[1, 0, 2] if swap else [0, 1, 2]][None, None]])
    return model


def test_evaluation_goes_over_the_whole_set_and_names_what_it_cannot_read(capsys):
    results = evaluate(Predictor(colour_model()), data_set())
    assert set(results.values()) == {1.0}
    assert capsys.readouterr().err == "not evaluated: image1.png: is damaged\n"
    swapped = evaluate(Predictor(colour_model(swap=True)), data_set(unreadable=()))
    assert (swapped["IoU sky"], swapped["IoU tree"], swapped["IoU road"]) == (0, 0, 1)
    ids = np.concatenate([Pairs().ids(number).ravel() for number in range(4)])
    assert swapped["pixel_accuracy"] == pytest.approx((ids == 2).mean())


def test_evaluation_needs_what_fits():
    with pytest.raises(ValueError, match="gives 3 classes, and the data have 4"):
        evaluate(Predictor(colour_model()), data_set(CLASSES))
    with pytest.raises(ValueError, match="none of 4 images"):
        evaluate(Predictor(colour_model()), data_set(unreadable=range(4)))


def test_evaluation_during_training_is_of_that_epoch():
    """The model unlearns by one step what it knew."""
    model, data = colour_model(), data_set(unreadable=())
    model.compile(keras.optimizers.SGD(1e4), PixelCrossentropy())
    images, labels = data.image(0)[None].astype("float32"), data.labels(0)[None]
    wrong = np.array([1, 0, 2], "uint8")[labels]
    predictor, measured = Predictor(model), [evaluate(Predictor(model), data)]
    end_epoch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: measured.append(evaluate(predictor, data, progress=False))
    )
    model.fit(images, wrong, epochs=2, verbose=0, callbacks=[end_epoch])
    assert [results["mIoU"] for results in measured] == pytest.approx([1, 1 / 3, 1 / 3])
    assert [results["IoU tree"] for results in measured] == [1, 0, 0]
