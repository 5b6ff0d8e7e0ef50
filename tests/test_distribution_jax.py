"""JAX on eight simulated devices, of one process and of two, gives what one device gives."""

import os
import socket

import distribution_worker
import keras
import numpy as np
import pytest

from keras_pvt.training import distribution

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="strategies of JAX")
XLA_FLAGS = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count={}"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What was trained on one device, and under every strategy by its name and process."""
    folder = tmp_path_factory.mktemp("jax")
    one = [folder, "data-parallel", "fsdp"]
    with distribution_worker.running(one, XLA_FLAGS=XLA_FLAGS.format(8), JAX_PLATFORMS="cpu"):
        none = distribution.choose("none")
        expected = distribution_worker.train(none)[1]
        v2 = distribution_worker.train(none, distribution_worker.V2_CONFIG)[1]
        expected |= {f"v2/{name}": value for name, value in v2.items()}
        gradients = distribution_worker.gradients(none)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    with distribution_worker.running(
        *[[folder, "auto"]] * 2,
        XLA_FLAGS=XLA_FLAGS.format(4),
        JAX_PLATFORMS="cpu",
        JAX_CPU_COLLECTIVES_IMPLEMENTATION="gloo",
        KERAS_DISTRIBUTION_JOB_ADDRESSES=f"127.0.0.1:{port}",
        KERAS_DISTRIBUTION_NUM_PROCESSES="2",
        KERAS_DISTRIBUTION_PROCESS_ID="{}",
    ):
        pass
    results = {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}
    return expected, results, gradients


@pytest.fixture(scope="module")
def expected(trained):
    return trained[0]


@pytest.fixture(scope="module")
def results(trained):
    return trained[1]


@pytest.mark.full("starts processes that train on several devices")
@pytest.mark.parametrize("run", ["data-parallel-0", "fsdp-0", "auto-0", "auto-1"])
def test_trains_as_on_one_device(results, expected, run):
    distribution_worker.assert_trained_alike(results[run], expected)


@pytest.mark.full("starts processes that train on several devices")
@pytest.mark.parametrize("run", ["data-parallel-0", "auto-0", "auto-1"])
def test_gradients_of_a_detector_and_a_segmenter(trained, run):
    """Batch norms average over the whole batch, as on one device."""
    _, results, expected = trained
    distribution_worker.assert_same_gradients(results[f"gradients-{run}"], expected)


@pytest.mark.full("starts processes that train on several devices")
def test_several_devices_are_found(results):
    assert {str(results[f"auto-{process}"]["name"]) for process in (0, 1)} == {"data-parallel"}


@pytest.mark.full("starts processes that train on several devices")
def test_fsdp_divides_what_a_device_holds(results):
    whole, part = results["data-parallel-0"]["bytes_held"], results["fsdp-0"]["bytes_held"]
    assert len(whole) == len(part) == 8
    assert len(set(whole)) == len(set(part)) == 1
    # Norms and biases stay whole, which in so small a model is a tenth.
    assert part[0] < 0.25 * whole[0]


@pytest.mark.full("starts processes that train on several devices")
def test_weights_that_do_not_divide_stay_whole(results):
    whole, part = results["data-parallel-0"]["uneven"], results["fsdp-0"]["uneven"]
    assert 0.3 * whole[0] < part[0] < 0.95 * whole[0]


@pytest.mark.full("starts processes that train on several devices")
def test_processes_know_of_one_another(results):
    large = distribution_worker.LARGE
    for run in ("auto-0", "auto-1"):
        assert results[run]["gathered"].tolist() == [[0, large], [1, large]]
        assert str(results[run]["order"]) == "01"  # the chief comes first
    assert results["fsdp-0"]["gathered"].tolist() == [[0, large]]


def test_fsdp_is_of_one_process(monkeypatch):
    monkeypatch.setattr("jax.process_count", lambda: 2)
    with pytest.raises(ValueError, match=r"there are 2\. Take data-parallel"):
        distribution.choose("fsdp")
