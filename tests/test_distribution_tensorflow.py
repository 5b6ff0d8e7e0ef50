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
        expected = distribution_worker.train(distribution.choose("none"))[1]
    return expected, dict(np.load(folder / "auto-0.npz"))


def test_trains_as_on_one_device(trained):
    expected, result = trained
    assert str(result["name"]) == "mirrored"
    distribution_worker.assert_trained_alike(result, expected)


def test_replicas_draw_drops_of_their_own(trained):
    seeds = trained[1]["seeds"]  # (layers, replicas, 2)
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
