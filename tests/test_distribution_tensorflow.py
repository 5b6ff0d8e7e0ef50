"""TensorFlow's MirroredStrategy over two logical devices gives what one device gives."""

import distribution_worker
import keras
import numpy as np
import pytest

from keras_pvt.training import distribution

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="strategies of TensorFlow"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What was trained on one device, and on two."""
    folder = tmp_path_factory.mktemp("tensorflow")
    with distribution_worker.running([folder, "auto"]):
        strategy = distribution.choose("none")
        expected = distribution_worker.train(strategy)[1]
        detector = distribution_worker.train_detector(strategy)
        gradients = distribution_worker.gradients(strategy, parts=2)
    names = ("", "detector-", "gradients-")
    results = [dict(np.load(folder / f"{name}auto-0.npz")) for name in names]
    return (expected, detector, gradients), results


@pytest.mark.full("starts processes that train on several devices")
def test_trains_as_on_one_device(trained):
    (expected, *_), (result, *_) = trained
    assert str(result["name"]) == "mirrored"
    distribution_worker.assert_trained_alike(result, expected)


@pytest.mark.full("starts processes that train on several devices")
def test_a_detector_trains_as_on_one_device(trained):
    (_, expected, _), (_, result, _) = trained
    assert {"log/loss", "log/class_loss", "log/box_loss"} <= result.keys()
    distribution_worker.assert_trained_alike(result, expected)


@pytest.mark.full("starts processes that train on several devices")
def test_gradients_of_a_detector_and_a_segmenter(trained):
    """Batch norms average over the part of each device; those of the first are kept."""
    (*_, expected), (*_, result) = trained
    distribution_worker.assert_same_gradients(result, expected)


@pytest.mark.full("starts processes that train on several devices")
def test_replicas_draw_drops_of_their_own(trained):
    seeds = trained[1][0]["seeds"]  # (layers, replicas, 2)
    assert seeds.shape[1:] == (2, 2)
    assert (seeds[:, 0, 0] != seeds[:, 1, 0]).all()


def test_no_tpu(monkeypatch):
    monkeypatch.setenv("TPU_NAME", "local")
    with pytest.raises(ValueError, match="finds no TPU"):
        distribution.choose("tpu")


def test_accumulated_gradients_are_refused():
    mirrored = distribution.choose("mirrored")
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=2)
    mirrored.prepare(optimizer)
    mirrored.devices = 2
    with pytest.raises(ValueError, match="cannot accumulate gradients over steps under mirrored"):
        mirrored.prepare(optimizer)
