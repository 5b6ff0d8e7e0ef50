"""What the training programs share: the log, and where a run goes on."""

import keras
import numpy as np
import pytest
from PIL import Image
from rich.text import Text

from keras_pvt import training
from keras_pvt.training.callbacks import Progress
from keras_pvt.training.log import cut_log
from keras_pvt.training.run import measuring

pytestmark = pytest.mark.one_backend("writes a log")


@pytest.fixture
def log(tmp_path):
    """A log of three epochs, the second of which has no AP."""
    path = tmp_path / "history.csv"
    for epoch, measured in enumerate([{"AP": 0.25}, {}, {"AP": 0.75}]):
        training.Log(path).on_epoch_end(epoch, {"loss": 2.0 - epoch, **measured})
    return path


def test_log_has_a_line_for_each_epoch(log):
    rows = training.read_history(log)
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert [row["loss"] for row in rows] == [2, 1, 0]
    np.testing.assert_equal([row["AP"] for row in rows], [0.25, np.nan, 0.75])


def test_what_was_not_logged_is_an_empty_cell(log):
    assert log.read_text() == "epoch,loss,AP\n0,2,0.25\n1,1,\n2,0,0.75\n"


def test_a_value_stands_in_its_own_column(tmp_path):
    """Whatever else an epoch logs, and in which order."""
    path = tmp_path / "history.csv"
    for epoch, logs in enumerate(
        [
            {"loss": 3.0, "AP": 0.5},
            {"AP": 0.25, "loss": 2.0},
            {"loss": 1.0, "seconds": 8.0},
            {"seconds": 9.0, "AP": float("nan"), "loss": 0.5},
        ]
    ):
        training.Log(path).on_epoch_end(epoch, logs)
    assert path.read_text() == ("epoch,loss,AP,seconds\n0,3,0.5,\n1,2,0.25,\n2,1,,8\n3,0.5,nan,9\n")
    assert [file.name for file in tmp_path.iterdir()] == ["history.csv"]


@pytest.mark.parametrize("row", ["1,2,3", "1"])
def test_a_log_of_another_shape_is_named(tmp_path, row):
    path = tmp_path / "history.csv"
    path.write_text(f"epoch,loss\n0,3\n{row}\n")
    with pytest.raises(ValueError, match=r"line 3 of .*history\.csv has not as many cells"):
        training.read_history(path)


def test_an_epoch_is_measured_when_it_is_its_turn():
    for epoch, measured in enumerate([False, False, True, False, True]):
        logs = {"seconds": 10.0, "cpu_seconds": 20.0}
        measuring(lambda: {"AP": 0.5}, epochs=5, every=3)(epoch, logs)
        assert ("AP" in logs) == ("validation_seconds" in logs) == measured
        assert (logs["seconds"] > 10) == (logs["cpu_seconds"] > 20) == measured


def test_a_run_goes_on_after_what_was_kept(log):
    cut_log(log, 2)
    assert [row["epoch"] for row in training.read_history(log)] == [0, 1]
    cut_log(log, 0)
    assert not log.exists()
    training.Log(log).on_epoch_end(0, {"loss": 3.0})
    assert training.read_history(log) == [{"epoch": 0, "loss": 3}]


def test_curves_leave_gaps_out(log, tmp_path):
    path = tmp_path / "curves.png"
    training.draw_curves(training.read_history(log), {"loss": ["loss"], "AP": ["AP"]}, path)
    assert np.asarray(Image.open(path)).std() > 1
    assert [file.name for file in tmp_path.iterdir() if "curves" in file.name] == ["curves.png"]


@pytest.fixture
def terminal(monkeypatch):
    """Makes standard error one, and on it a bar of a given width, in the midst of an epoch."""
    clock = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    monkeypatch.setenv("TERM", "xterm")

    def bar_of(width):
        monkeypatch.setattr("sys.stderr.isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(width))
        bar = Progress(steps=1563, batch_size=32)
        model = keras.Sequential([keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(0.5), loss="mse")
        bar.set_model(model)
        bar.set_params({"epochs": 300})
        bar.on_train_begin()
        bar.on_epoch_begin(199)
        assert bar.bar.tasks[0].fields["values"] == "starting"
        bar.on_train_batch_end(0, {"loss": 1.0})
        bar.on_train_batch_end(1, {"loss": 0.1234, "accuracy": 0.5678, "top5_accuracy": 1.0})
        return bar

    return bar_of


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (60, "loss 0.1234, left"),
        (80, "loss 0.1234, accuracy 0.5678, left"),
        (120, "loss 0.1234, accuracy 0.5678, rate 0.5, images/s 32, left"),
    ],
)
def test_progress_on_a_terminal(terminal, capsys, width, shown):
    """The loss and the time that is left fit into the line, whatever its length."""
    bar = terminal(width)
    (task,) = bar.bar.tasks
    assert (task.completed, task.total) == (2, 1563)
    with bar.bar.console.capture() as captured:
        bar.bar.console.print(bar.bar.get_renderable())
    line = Text.from_ansi(captured.get()).plain
    assert line.startswith("epoch 200/300 ")
    assert f" 2/1563 {shown} " in line
    assert line.rstrip()[-7:].count(":") == 2  # hours, minutes, seconds
    assert "…" not in line
    bar.on_epoch_end(199, {"loss": 0.25})
    bar.on_epoch_begin(200)
    assert bar.bar.tasks[0].fields["values"] == "loss ..."
    bar.on_train_end()
    out, err = capsys.readouterr()
    assert out == "epoch 200/300: loss 0.25\n"
    assert "epoch 200/300" in err


def test_progress_leaves_out_what_was_not_measured(capsys):
    line = Progress(steps=4, batch_size=32)
    line.set_params({"epochs": 2})
    nan = float("nan")
    line.on_epoch_begin(0)
    line.on_epoch_end(0, {"loss": 0.25, "AP": nan, "AP50": 0.0, "val_loss": nan})
    assert capsys.readouterr().out == "epoch 1/2: loss 0.25, AP50 0, val loss nan\n"
