"""What the training programs share: the log, and where a run goes on."""

import keras
import numpy as np
import pytest
from PIL import Image

from keras_pvt import training
from keras_pvt.training.callbacks import Progress
from keras_pvt.training.checkpoints import cut_log

pytestmark = pytest.mark.one_backend("writes a log")


@pytest.fixture
def log(tmp_path):
    """A log of three epochs, the second of which has no AP."""
    path = tmp_path / "history.csv"
    for epoch, value in enumerate([0.25, float("nan"), 0.75]):
        training.Log(path).on_epoch_end(epoch, {"loss": 2.0 - epoch, "AP": value})
    return path


def test_log_has_a_line_for_each_epoch(log):
    rows = training.read_history(log)
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert [row["loss"] for row in rows] == [2, 1, 0]
    np.testing.assert_equal([row["AP"] for row in rows], [0.25, np.nan, 0.75])


def test_a_run_goes_on_after_what_was_kept(log):
    cut_log(log, 2)
    assert [row["epoch"] for row in training.read_history(log)] == [0, 1]
    cut_log(log, 0)
    assert training.read_history(log) == []
    training.Log(log).on_epoch_end(0, {"loss": 3.0})
    assert training.read_history(log) == [{"epoch": 0, "loss": 3}]


def test_curves_leave_gaps_out(log, tmp_path):
    path = tmp_path / "curves.png"
    training.draw_curves(training.read_history(log), {"loss": ["loss"], "AP": ["AP"]}, path)
    assert np.asarray(Image.open(path)).std() > 1
    assert [file.name for file in tmp_path.iterdir() if "curves" in file.name] == ["curves.png"]


def test_progress_on_a_terminal(monkeypatch, capsys):
    clock = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    bar = Progress(steps=4, batch_size=32)
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5), loss="mse")
    bar.set_model(model)
    bar.set_params({"epochs": 2})
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    bar.on_train_batch_end(0, {"loss": 1.0})
    bar.on_train_batch_end(1, {"loss": 0.25, "accuracy": 0.5, "top5_accuracy": 1.0})
    (task,) = bar.bar.tasks
    assert (task.completed, task.total) == (2, 4)
    assert task.fields["values"] == "loss 0.25, accuracy 0.5, rate 0.5"
    assert task.fields["speed"] > 0
    bar.on_epoch_end(0, {"loss": 0.25})
    bar.on_train_end()
    assert "epoch 1/2: loss 0.25" in capsys.readouterr().out


def test_progress_leaves_out_what_was_not_measured(capsys):
    line = Progress(steps=4, batch_size=32)
    line.set_params({"epochs": 2})
    nan = float("nan")
    line.on_epoch_begin(0)
    line.on_epoch_end(0, {"loss": 0.25, "AP": nan, "AP50": 0.0, "val_loss": nan})
    assert capsys.readouterr().out == "epoch 1/2: loss 0.25, AP50 0, val loss nan\n"
