"""Runs that diverge or collapse end with a word about it, and others do not."""

import math

import keras
import numpy as np
import pytest
from image_folders import write_images

from keras_pvt.cli import main
from keras_pvt.recipes.files import as_toml
from keras_pvt.training import load_recipe, with_teacher
from keras_pvt.training.callbacks import Diverged, StopWhenDiverged, label_loss

pytestmark = pytest.mark.one_backend("a function of a log")

GUESSING = math.log(1000)


def watched(classes, losses, **options):
    """A callback that has seen the mean losses of some epochs."""
    watch = StopWhenDiverged(classes, **options)
    for epoch, loss in enumerate(losses):
        watch.on_epoch_end(epoch, {"loss": loss})
    return watch


def test_no_number():
    watch = StopWhenDiverged(1000)
    watch.on_train_batch_end(49, {"loss": math.nan})  # not looked at
    with pytest.raises(Diverged, match=r"nan in step 51\. Lower the learning rate"):
        watch.on_train_batch_end(50, {"loss": math.nan})
    with pytest.raises(Diverged, match="inf in epoch 3"):
        watch.on_epoch_end(2, {"loss": math.inf})


def test_collapse(capsys):
    """The losses of PVT-Large in whai362/PVT, issue 6."""
    watch = watched(1000, [6.95, 6.9, 5.8, 4.6])
    assert not capsys.readouterr().out
    watch.on_epoch_end(4, {"loss": 6.93})
    assert capsys.readouterr().out == (
        "epoch 5: the loss is 6.930, guessing costs 6.908; it had been 4.600. The run ends after 3 "
        "such epochs in a row (unless --no-collapse-check)\n"
    )
    watch.on_epoch_end(5, {"loss": 6.91})
    assert not capsys.readouterr().out  # once is enough
    with pytest.raises(Diverged, match=r"collapsed by epoch 7: the loss is 6\.920.*been 4\.600"):
        watch.on_epoch_end(6, {"loss": 6.92})


def test_one_process_tells_of_it(capsys):
    watched(1000, [4.6, 6.93], tells=False)
    assert not capsys.readouterr().out


def test_collapse_after_a_resumption():
    watch = StopWhenDiverged(1000, [6.9, 4.6, 6.93, 6.93])
    with pytest.raises(Diverged, match=r"as in the 2 epochs before, after it had been 4\.600"):
        watch.on_epoch_end(4, {"loss": 6.93})


@pytest.mark.parametrize(
    ("classes", "losses"),
    [
        (2, [0.69, 0.61, 0.63, 0.685]),
        (2, [0.69, 0.61, *[0.685] * 9]),  # nothing had been learnt that could be lost
        (2, [0.6, 0.3, 0.69, 0.69, 0.4, 0.69, 0.69]),
        (10, [2.2, 1.9, *[2.29] * 9]),  # strong augmentation
        (1000, [GUESSING, GUESSING + 0.1, GUESSING, 5.0, 6.5, 4.0]),
        (1000, [6.9, 4.6, 6.93, 6.93, 6.7, 6.93, 6.93]),
        (1000, [4.6, 6.93]),
        (None, [6.9, 0.1, *[50.0] * 9]),
    ],
)
def test_no_collapse(classes, losses):
    watch = watched(classes, losses)
    with pytest.raises(Diverged, match="nan in epoch"):  # which it still looks for
        watch.on_epoch_end(len(losses), {"loss": math.nan})


def test_a_teacher_s_part_of_the_loss_is_no_collapse():
    """It is scaled by the square of the temperature: any sum is far from ln(classes)."""
    watch = StopWhenDiverged(10)
    for epoch in range(9):
        watch.on_epoch_end(epoch, {"loss": 1.0 if epoch < 2 else 4.0, "student_loss": 0.5})
    row = {"loss": 0.9, "student_loss": 2.3}
    watch = StopWhenDiverged(10, [0.5, label_loss(row), label_loss(row)])
    with pytest.raises(Diverged, match=r"the loss is 2\.300"):
        watch.on_epoch_end(3, row)


def small(classes):
    """A model whose logits are what it is given."""
    inputs = keras.Input((classes,))
    return keras.Model(inputs, keras.layers.Dense(classes, kernel_initializer="identity")(inputs))


class Dies(keras.callbacks.Callback):
    """All weights become 0 at an epoch, and stay so, as of a network whose activations are dead."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 4:
            for variable in self.model.trainable_variables:
                variable.assign(keras.ops.zeros(variable.shape))
            self.model.optimizer.learning_rate = 0.0


def fit(model, classes, *callbacks):
    """Epochs that a fit of separable classes goes through."""
    images = 8 * np.eye(classes, dtype="float32")
    model.compile(
        keras.optimizers.SGD(0.001),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    seen = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: epochs.append(dict(logs))
    )
    epochs: list[dict] = []
    labels = np.eye(classes, dtype="float32")
    watch = StopWhenDiverged(classes, every=1)
    try:
        model.fit(images, labels, epochs=9, verbose=0, callbacks=[seen, *callbacks, watch])
    except Diverged as error:
        return epochs, str(error)
    return epochs, ""


def test_a_fit_that_dies_ends_and_another_does_not():
    epochs, reason = fit(small(8), 8, Dies())
    assert len(epochs) == 7
    assert epochs[-1]["loss"] == pytest.approx(math.log(8))
    assert "collapsed by epoch 7" in reason
    epochs, reason = fit(small(8), 8)
    assert (len(epochs), reason) == (9, "")


@pytest.mark.one_backend("what a run is told")
def test_the_flag(tmp_path, rng, monkeypatch):
    """It decides nothing of the result, so that a run which ended may go on without the check."""
    write_images(tmp_path / "data", {"a": 8, "b": 8}, lambda *_: rng.integers(0, 256, (16, 16, 3)))
    looked_for = []

    class Watch(StopWhenDiverged):
        def __init__(self, classes, *args, **options):
            looked_for.append(classes)
            super().__init__(classes, *args, **options)

    monkeypatch.setattr("keras_pvt.training.run.StopWhenDiverged", Watch)
    words = ["train", "cifar10_pvt_nano", f"--data={tmp_path / 'data'}", "--size=16",
             "--batch-size=4", "--epochs=1", "--limit-steps=1"]  # fmt: skip
    runs = [f"--out={tmp_path / name}" for name in ("watched", "not")]
    assert main([*words, runs[0]]) == 0
    assert main([*words, runs[1], "--no-collapse-check"]) == 0
    assert looked_for == [2, None]
    assert main([*words, runs[0], "--no-collapse-check"]) == 0
    assert "collapse_check = false" in as_toml(load_recipe("finetune", collapse_check=False))


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_a_fit_with_a_teacher(kind):
    """Which errs, so that the whole loss is above ln(classes) while the labels are learnt."""
    teacher = small(2)
    teacher.layers[-1].kernel.assign(np.eye(2)[::-1])
    epochs, reason = fit(with_teacher(small(2), teacher, kind, 0.9, 2.0), 2)
    assert (len(epochs), reason) == (9, "")
    assert min(row["loss"] for row in epochs) > 1 > 0.5 > max(row["student_loss"] for row in epochs)
    died, reason = fit(with_teacher(small(2), teacher, kind, 0.9, 2.0), 2, Dies())
    assert "collapsed by epoch 7: the loss is 0.693" in reason
    assert len(died) == 7
