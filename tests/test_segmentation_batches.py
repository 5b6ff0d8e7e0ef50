"""Batches of images and labels: what decides their content, what `fit` gets."""

import pickle

import keras
import numpy as np
import pytest
from segmentation_data import Squares

from keras_pvt.segmentation.data.augmentation import TrainTransform
from keras_pvt.segmentation.data.batches import SegmentationBatches
from keras_pvt.segmentation.data.samples import IGNORED

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")


def corner(image, labels, rng):
    """Stands in for an augmentation: the gray of an image, and what was drawn for it."""
    drawn = np.full((2, 2, 1), rng.random())
    return np.concatenate([image[:2, :2, :2], drawn], axis=-1).astype("float32"), labels[:2, :2]


def numbers(batches):
    """The images of an epoch, in order."""
    return np.concatenate([images[:, 0, 0, 0] for images, _ in batches]).astype(int).tolist()


def test_what_a_batch_is():
    batches = SegmentationBatches(Squares(13), 4, TrainTransform((6, 10), max_share=1))
    assert len(batches) == 3
    images, labels = batches[1]
    assert (images.shape, images.dtype) == ((4, 6, 10, 3), "float32")
    assert (labels.shape, labels.dtype) == ((4, 6, 10), "int32")
    images, labels = SegmentationBatches(Squares(13), 4, corner)[2]
    np.testing.assert_array_equal(labels, images[..., 0] % 3)


@pytest.mark.parametrize("steps", [None, 5, 9])
def test_seed_and_epoch_decide_and_threads_do_not(steps):
    def epoch(seed=3, first_epoch=2, workers=1):
        batches = SegmentationBatches(
            Squares(23), 4, corner, seed=seed, first_epoch=first_epoch, steps=steps, workers=workers
        )
        assert len(batches) == (steps or 5)
        return np.concatenate([images for images, _ in batches])

    expected = epoch()
    np.testing.assert_array_equal(epoch(workers=3), expected)
    draws = set(expected[:, 0, 0, 2].tolist())
    assert len(draws) == len(expected)  # each has its own
    for other in (epoch(seed=4), epoch(first_epoch=3)):
        assert (other[..., 0] != expected[..., 0]).any()
        assert not draws & set(other[:, 0, 0, 2].tolist())
    batches = SegmentationBatches(Squares(23), 4, corner, seed=3, first_epoch=1, steps=steps)
    list(batches)
    batches.on_epoch_end()
    copy = pickle.loads(pickle.dumps(batches))
    for again in (batches, copy):
        np.testing.assert_array_equal(np.concatenate([x for x, _ in again]), expected)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_epochs_of_steps_go_on_in_the_order(steps):
    batches = SegmentationBatches(Squares(10), 4, corner, steps=steps)
    seen = []
    while len(seen) < 60:
        seen += numbers(batches)
        batches.on_epoch_end()
    orders = [tuple(seen[n : n + 10]) for n in range(0, 60, 10)]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len(set(orders)) == 6
    resumed = SegmentationBatches(Squares(10), 4, corner, steps=steps, first_epoch=2)
    assert numbers(resumed) == seen[8 * steps : 12 * steps]
    # And where one order makes an epoch, it is the same without `steps`.
    assert orders[0][:8] == tuple(numbers(SegmentationBatches(Squares(10), 4, corner)))


@pytest.mark.parametrize("steps", [None, 7])
def test_processes_together_make_the_batches_of_one(steps):
    whole = SegmentationBatches(Squares(23), 6, corner, steps=steps)
    parts = [
        SegmentationBatches(Squares(23), 2, corner, steps=steps, shard=(r, 3)) for r in (0, 1, 2)
    ]
    assert {len(part) for part in parts} == {len(whole)} == {steps or 3}
    for index in range(len(whole)):
        for rank, part in enumerate(parts):
            for array, expected in zip(part[index], whole[index], strict=True):
                np.testing.assert_array_equal(array, expected[rank::3])


@pytest.mark.parametrize("steps", [None, 5])
def test_unreadable_images_are_replaced_by_the_next(caplog, steps):
    options = {"seed": 1, "steps": steps}
    good = SegmentationBatches(Squares(10), 2, corner, **options)
    bad = SegmentationBatches(Squares(10, bad={3, 4}), 2, corner, **options)
    order = numbers(good)
    assert sorted(order) == list(range(10))
    expected = []
    for place in range(10):
        while order[place % 10] in (3, 4):
            place += 1
        expected.append(order[place % 10])
    for _ in range(2):
        assert numbers(bad) == expected
    np.testing.assert_array_equal(bad[4][1], bad[4][0][..., 0] % 3)  # labels come with it
    assert bad.skipped == {f"square {n}": f"square {n} is gone" for n in (3, 4)}
    lines = sorted(record.getMessage() for record in caplog.records)
    assert lines == [f"square {n} is gone; another image takes its place" for n in (3, 4)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "`steps` must be 1 or more; got 0"),
        ({"batch_size": 0}, "`batch_size` must be 1 or more; got 0"),
        ({"batch_size": 11}, "10 images make no batch of 11"),
        ({"shard": (2, 2)}, "`shard` must"),
        ({"workers": 0}, "`workers` must be 1 or more; got 0"),
    ],
)
def test_arguments_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        SegmentationBatches(Squares(10), **{"batch_size": 4, "transform": corner} | options)


def test_what_will_not_do_while_reading():
    batches = SegmentationBatches(Squares(20, bad=range(20)), 4, corner)
    with pytest.raises(ValueError, match=r"16 images in a row .* square \d+ is gone"):
        batches[0]
    batches = SegmentationBatches(Squares(20), 4, lambda x, y, rng: (x[: 2 + x[0, 0, 0] % 2], y))
    with pytest.raises(ValueError, match=r"one shape; got \[\(2, 12, 3\), \(3, 12, 3\)\]"):
        batches[0]


def test_a_few_images_make_large_batches_by_steps():
    batches = SegmentationBatches(Squares(3), 8, corner, steps=2)
    assert sorted(numbers(batches)) == sorted([0, 1, 2] * 5 + numbers(batches)[15:])


def test_fit_takes_them():
    model = keras.Sequential([keras.Input((6, 10, 3)), keras.layers.Conv2D(3, 1)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=IGNORED)
    model.compile("sgd", loss)
    batches = SegmentationBatches(Squares(7), 2, TrainTransform((6, 10), max_share=1), steps=2)
    history = model.fit(batches, epochs=2, shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert not batches.skipped
