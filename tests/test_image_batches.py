"""Batches of labelled images: what decides their content, what `fit` gets."""

import pickle
import threading
import time

import keras
import numpy as np
import pytest
from image_folders import Grays, corner, grays, write_classes

from keras_pvt.training.data import FolderImages, ImageBatches
from keras_pvt.training.data.batch_sampler import BatchSampler

pytestmark = pytest.mark.one_backend("of NumPy and Pillow alone")


@pytest.mark.parametrize("last_batch", ["drop", "pad"])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_the_positions(processes, last_batch):
    shards = [BatchSampler(23, 4, (rank, processes), last_batch) for rank in range(processes)]
    whole = BatchSampler(23, 4 * processes, last_batch=last_batch)
    assert {len(shard) for shard in shards} == {len(whole)}
    assert len(whole) == (23 if last_batch == "drop" else 23 + 4 * processes - 1) // (4 * processes)
    for index in range(len(whole)):
        for rank, shard in enumerate(shards):
            assert list(shard[index]) == list(whole[index])[rank::processes]
            assert len(shard[index]) == 4


def test_the_last_batch_may_be_smaller():
    positions = BatchSampler(10, 4, last_batch="keep")
    assert [list(positions[n]) for n in range(len(positions))] == [
        [0, 1, 2, 3],
        [4, 5, 6, 7],
        [8, 9],
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 0}, "`batch_size` must be 1 or more; got 0"),
        ({"shard": (2, 2)}, r"`shard` .* got \(2, 2\)"),
        ({"last_batch": "some"}, "drop, keep, pad; got 'some'"),
        ({"last_batch": "keep", "shard": (0, 2)}, '"pad"'),
        ({"batch_size": 6, "shard": (0, 2)}, "10 images make no batch of 6 for each of 2"),
        ({"workers": 0}, "`workers` must be 1 or more; got 0"),
        ({"repeats": 0}, "got 0 and 0.0"),
        ({"smoothing": 1.5}, "got 1 and 1.5"),
        ({"last_batch": "pad", "mix": corner}, '`mix` .* use "drop"'),
    ],
)
def test_arguments_out_of_range(options, words):
    with pytest.raises(ValueError, match=words):
        ImageBatches(Grays(10), **{"batch_size": 4, "transform": corner, "workers": 3} | options)


def content(batches):
    """All of an epoch: what was made of the images, and the labels."""
    images, labels = zip(*batches, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def test_seed_and_epoch_decide_and_threads_do_not():
    def epoch(workers=1, seed=5, first_epoch=3):
        batches = ImageBatches(
            Grays(23), 4, corner, seed=seed, first_epoch=first_epoch, workers=workers
        )
        return content(batches)[0]

    expected = epoch()
    assert len(set(grays(expected))) == 20
    assert len(set(expected[:, 1])) == 20  # each image has draws of its own
    np.testing.assert_array_equal(epoch(workers=3), expected)
    for other in (epoch(seed=6), epoch(first_epoch=4)):
        assert grays(other) != grays(expected)
        assert not set(other[:, 1]) & set(expected[:, 1])
    batches = ImageBatches(Grays(23), 4, corner, seed=5, first_epoch=2)
    list(batches)
    batches.on_epoch_end()
    np.testing.assert_array_equal(content(batches)[0], expected)
    np.testing.assert_array_equal(batches[3][0], expected[12:16])  # in any order
    copy = pickle.loads(pickle.dumps(batches))
    np.testing.assert_array_equal(content(copy)[0], expected)


@pytest.mark.parametrize("repeats", [1, 3])
def test_processes_together_make_the_batches_of_one(repeats):
    options = {"seed": 1, "repeats": repeats, "smoothing": 0.1}
    whole = ImageBatches(Grays(23), 6, corner, **options)
    parts = [ImageBatches(Grays(23), 2, corner, shard=(r, 3), **options) for r in range(3)]
    assert {len(part) for part in parts} == {len(whole)} == {3}
    for index in range(3):
        for rank, part in enumerate(parts):
            for array, expected in zip(part[index], whole[index], strict=True):
                np.testing.assert_array_equal(array, expected[rank::3])


def test_repeats_are_neighbours_that_are_augmented_differently():
    batches = ImageBatches(Grays(24), 12, corner, repeats=3)
    images, _ = content(batches)
    numbers = np.array(grays(images)).reshape(8, 3)
    assert (numbers == numbers[:, :1]).all()
    assert len(set(numbers[:, 0])) == 8  # a third of the images, in an epoch of the same length
    assert len(set(images[:, 1])) == 24
    batches.on_epoch_end()
    assert set(grays(content(batches)[0])) != set(numbers[:, 0])


def test_labels_belong_to_the_images_and_are_smoothed():
    batches = ImageBatches(Grays(12), 4, corner, classes=5, smoothing=0.2)
    images, labels = content(batches)
    assert labels.dtype == images.dtype == "float32"
    expected = np.full((12, 5), 0.04)
    expected[np.arange(12), np.array(grays(images)) % 3] = 0.84
    np.testing.assert_allclose(labels, expected, rtol=1e-6)


def test_mixing_draws_by_epoch_batch_and_process():
    def mix(images, labels, rng):
        assert labels.shape == (4, 3)
        return images + 0 * labels[:, :1], np.full(4, rng.random())

    def draws(**options):
        batches = ImageBatches(Grays(16), 4, corner, mix=mix, **options)
        return {float(labels[0]) for _, labels in batches}

    first = draws()
    assert len(first) == 4
    assert draws() == first
    others = [draws(first_epoch=1), draws(seed=1), draws(shard=(1, 2))]
    assert not first & set.union(*others)
    assert len(set.union(*others)) == 4 + 4 + 2
    assert not first & set(content(ImageBatches(Grays(16), 4, corner))[0][:, 1].tolist())


def test_padding_counts_every_image_once():
    seen = {}
    for rank in range(2):
        batches = ImageBatches(
            Grays(11), 2, corner, shuffle=False, shard=(rank, 2), last_batch="pad"
        )
        assert len(batches) == 3
        for images, labels, weights in batches:
            assert images.shape == (2, 2)
            assert (labels.argmax(1) == np.array(grays(images)) % 3).all()
            for number, weight in zip(grays(images), weights, strict=True):
                seen[number] = seen.get(number, 0) + weight
    assert seen == dict.fromkeys(range(11), 1)


def test_unreadable_images_are_replaced_by_the_next(caplog):
    images = Grays(10, bad={3, 4})
    batches = ImageBatches(images, 4, corner, shuffle=False, last_batch="pad")
    for _ in range(2):
        made = [[array.tolist() for array in (np.array(grays(x)), w)] for x, _, w in batches]
        assert made == [
            [[0, 1, 2, 5], [1, 1, 1, 0]],
            [[5, 5, 6, 7], [0, 1, 1, 1]],
            [[8, 9, 0, 1], [1, 1, 0, 0]],
        ]
        batches.on_epoch_end()
    assert batches[0][1].argmax(1).tolist() == [0, 1, 2, 2]  # its label comes with it
    assert batches.skipped == {"gray 3": "gray 3 is gone", "gray 4": "gray 4 is gone"}
    lines = [record.getMessage() for record in caplog.records]
    assert sorted(lines) == [f"gray {n} is gone; another image takes its place" for n in (3, 4)]


def test_damaged_files_stop_nothing(tmp_path):
    folder = write_classes(tmp_path / "set", {"ant": 4, "bee": 4})
    images = FolderImages(folder)
    whole = (folder / "ant" / "00.png").read_bytes()
    (folder / "ant" / "01.png").write_bytes(whole[: len(whole) - 30])
    (folder / "bee" / "02.png").write_text("no image")
    (folder / "bee" / "03.png").unlink()
    batches = ImageBatches(images, 4, corner, seed=2)
    made = grays(content(batches)[0])
    assert len(made) == 8
    assert set(made) == {0, 2, 3, 4, 5}
    assert sorted(batches.skipped) == [images.name(n) for n in (1, 6, 7)]


@pytest.mark.parametrize(("count", "tried"), [(40, 20), (7, 7)])
def test_nothing_readable_is_an_error(count, tried):
    batches = ImageBatches(Grays(count, bad=range(count)), min(count, 20), corner)
    with pytest.raises(ValueError, match=rf"{tried} images in a row .* gray \d+ is gone"):
        batches[0]


def test_arrays_of_several_shapes_are_refused():
    batches = ImageBatches(Grays(4), 4, lambda image, rng: np.zeros(image[0, 0, 0] % 2))
    with pytest.raises(ValueError, match=r"one shape; got \[\(0,\), \(1,\)\]"):
        batches[0]


def test_two_batches_are_made_ahead_and_no_more():
    images = Grays(40)
    batches = ImageBatches(images, 4, corner, shuffle=False)
    batches[0]
    for future in batches.ahead._batches.values():
        future.result()
    assert sorted(images.read_ones) == list(range(12))
    batches[1]
    assert set(batches.ahead._batches) == {2, 3}
    batches.on_epoch_end()
    images.read_ones.clear()
    batches[7]  # out of order: as if `fit` shuffled
    assert images.read_ones == [28, 29, 30, 31]


@pytest.fixture
def left_over():
    """Counts the threads of `Prefetcher` that there are since the test began."""
    before = set(threading.enumerate())

    def count() -> int:
        new = set(threading.enumerate()) - before
        return sum(thread.name.startswith(("images_", "batches_")) for thread in new)

    return count


def test_threads_end_in_the_midst_of_a_batch(left_over):
    class Slow(Grays):
        def read(self, number):
            time.sleep(0.02)
            return super().read(number)

    batches = ImageBatches(Slow(40), 4, corner, workers=1)
    for _ in range(5):
        assert len(batches[0][0]) == 4
        assert left_over() > 0
        batches.on_epoch_end()
        assert left_over() == 0


def classifier():
    model = keras.Sequential([keras.layers.Dense(3)])
    model.compile(
        keras.optimizers.SGD(0.01),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    return model


def test_fit_with_padded_validation(left_over):
    def transform(image, rng):
        return image[0, 0].astype("float32")

    train = ImageBatches(Grays(23), 4, transform)
    val = ImageBatches(Grays(11), 4, transform, shuffle=False, last_batch="pad")
    model = classifier()
    history = model.fit(train, validation_data=val, epochs=2, shuffle=False, verbose=0).history
    assert int(model.optimizer.iterations) == 2 * 5
    images, labels, _ = (np.concatenate(part)[:11] for part in zip(*val, strict=True))
    right = (model.predict(images, verbose=0).argmax(1) == labels.argmax(1)).mean()
    assert history["val_accuracy"][-1] == pytest.approx(right)
    val.on_epoch_end()
    assert left_over() == 0


def test_a_resumed_fit_learns_the_same():
    def train(model, first_epoch, epochs):
        batches = ImageBatches(Grays(12), 4, corner, seed=7, first_epoch=first_epoch)
        model.fit(batches, initial_epoch=first_epoch, epochs=epochs, shuffle=False, verbose=0)
        return [np.array(weight) for weight in model.get_weights()]

    model = classifier()
    model.build((None, 2))
    start = model.get_weights()
    expected = train(model, 0, 3)
    model.set_weights(start)
    train(model, 0, 1)
    for weight, value in zip(train(model, 1, 3), expected, strict=True):
        np.testing.assert_array_equal(weight, value)
