"""torch's DistributedDataParallel over two processes gives what one process gives."""

import distribution_worker
import keras
import numpy as np
import pytest
from image_folders import write_images

import keras_pvt
from keras_pvt.training import distribution, read_history

pytestmark = pytest.mark.skipif(keras.backend.backend() != "torch", reason="strategies of torch")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where two processes leave what they train."""
    return tmp_path_factory.mktemp("torch")


@pytest.fixture(scope="module")
def alone(folder):
    """The model, weights and log of one process, trained beside the two."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = [*torchrun, distribution_worker.__file__, folder, "auto"]
    with distribution_worker.running(program, OMP_NUM_THREADS="1"):
        strategy = distribution.choose("none")
        np.savez(folder / "detector.npz", **distribution_worker.train_detector(strategy))
        gradients = distribution_worker.gradients(strategy, parts=2)
        np.savez(folder / "gradients.npz", **gradients)
        return distribution_worker.train(strategy)


@pytest.fixture(scope="module")
def results(folder, alone):
    return [dict(np.load(folder / f"auto-{process}.npz")) for process in (0, 1)]


@pytest.mark.full("starts processes that train on several devices")
@pytest.mark.parametrize("process", [0, 1])
def test_trains_as_in_one_process(results, alone, process):
    assert str(results[process]["name"]) == "ddp"
    distribution_worker.assert_trained_alike(results[process], alone[1])


@pytest.mark.full("starts processes that train on several devices")
@pytest.mark.parametrize("process", [0, 1])
def test_a_detector_trains_as_in_one_process(folder, alone, process):
    result = dict(np.load(folder / f"detector-auto-{process}.npz"))
    expected = dict(np.load(folder / "detector.npz"))
    assert {"log/loss", "log/class_loss", "log/box_loss"} <= result.keys()
    distribution_worker.assert_trained_alike(result, expected)


@pytest.mark.full("starts processes that train on several devices")
@pytest.mark.parametrize("process", [0, 1])
def test_gradients_of_a_detector_and_a_segmenter(folder, alone, process):
    """Batch norms average over the part of each process; the first one's are kept."""
    result = dict(np.load(folder / f"gradients-auto-{process}.npz"))
    expected = dict(np.load(folder / "gradients.npz"))
    distribution_worker.assert_same_gradients(result, expected, process)


@pytest.mark.full("starts processes that train on several devices")
def test_saved_as_the_model_itself(folder, alone, rng):
    images = rng.standard_normal((4, 64, 64, 3), "float32")
    expected = alone[0].predict(images, verbose=0)
    whole = keras.saving.load_model(folder / "model.keras")
    model = keras_pvt.classifier(distribution_worker.CONFIG, classifier_activation=None)
    model.compile("adamw", "mse")
    model.optimizer.build(model.trainable_variables)
    model.load_weights(folder / "model.weights.h5")
    for restored in (whole, model):
        np.testing.assert_allclose(restored.predict(images, verbose=0), expected, atol=1e-4)
        assert restored.optimizer.iterations.numpy() == distribution_worker.STEPS


@pytest.mark.full("starts processes that train on several devices")
def test_processes_draw_drops_of_their_own(results):
    first, second = (result["seeds"] for result in results)  # (layers, 1, 2)
    assert len(first) == len(second) > 0
    assert (first[..., 0] != second[..., 0]).all()


@pytest.mark.full("starts processes that train on several devices")
def test_processes_know_of_one_another(results):
    large = distribution_worker.LARGE
    for result in results:
        assert result["gathered"].tolist() == [[0, large], [1, large]]
        assert str(result["order"]) == "01"  # the chief comes first


@pytest.mark.full("starts processes that train on several devices")
def test_a_run_of_two_processes(tmp_path, rng):
    """Its log is that of one process, and both find what the other writes when it goes on."""
    levels = {"dark": 60, "light": 190}

    def pixels(name, _):
        return rng.integers(levels[name] - 40, levels[name] + 40, (20, 23, 3))

    for part, count in (("train", 16), ("val", 7)):  # of 14, both processes validate on 7
        write_images(tmp_path / "data" / part, dict.fromkeys(levels, count), pixels)
    command = ["-m", "keras_pvt.cli", "train", "cifar10_pvt_nano", f"--data={tmp_path / 'data'}"]
    command += ["--size=16", "--batch-size=8", "--cutmix=0", "--warm-up=0", "--crop=none"]
    together = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *command]
    for more in (["--epochs=1"], ["--epochs=2", "--extend"]):
        with distribution_worker.running(
            [*together, *more, f"--out={tmp_path / 'two'}"],
            [*command, *more, f"--out={tmp_path / 'one'}"],
            OMP_NUM_THREADS="1",
        ):
            pass
    two, one = (read_history(tmp_path / name / "history.csv") for name in ("two", "one"))
    assert len(two) == len(one) == 2
    for ours, theirs in zip(two, one, strict=True):
        for name in ("loss", "val_loss", "val_accuracy", "learning_rate"):
            assert ours[name] == pytest.approx(theirs[name], rel=1e-3), name


def test_only_under_torchrun(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(ValueError, match=r"start the program by `torchrun"):
        distribution.choose("ddp")


def test_no_more_processes_than_gpus(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(ValueError, match="number 1 of this machine, which has 1 GPUs"):
        distribution.choose("ddp")
