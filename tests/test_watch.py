"""Runs that diverge or collapse end with a word about it."""

import math

import pytest

from keras_pvt.training.callbacks import Diverged, StopWhenDiverged

pytestmark = pytest.mark.one_backend("a function of a log")

GUESSING = math.log(1000)


def test_no_number():
    watch = StopWhenDiverged(1000)
    watch.on_train_batch_end(49, {"loss": math.nan})  # not looked at
    with pytest.raises(Diverged, match=r"nan in step 51\. Lower the learning rate"):
        watch.on_train_batch_end(50, {"loss": math.nan})
    with pytest.raises(Diverged, match="inf in epoch 3"):
        watch.on_epoch_end(2, {"loss": math.inf})


def test_collapse():
    """The losses of PVT-Large in whai362/PVT, issue 6."""
    watch = StopWhenDiverged(1000)
    for epoch, loss in enumerate([6.95, 6.9, 5.8, 4.6]):
        watch.on_epoch_end(epoch, {"loss": loss})
    with pytest.raises(Diverged, match=r"collapsed in epoch 5: the loss is 6\.930.*been 4\.600"):
        watch.on_epoch_end(4, {"loss": 6.93})


def test_collapse_after_a_resumption():
    with pytest.raises(Diverged, match="collapsed"):
        StopWhenDiverged(1000, [6.9, 4.6]).on_epoch_end(2, {"loss": 6.93})


def test_slow_starts_and_bad_epochs_are_no_collapse():
    watch = StopWhenDiverged(1000)
    for epoch, loss in enumerate([GUESSING, GUESSING + 0.1, GUESSING, 5.0, 6.5, 4.0]):
        watch.on_epoch_end(epoch, {"loss": loss})


def test_without_classes_any_loss_will_do_that_is_a_number():
    watch = StopWhenDiverged()
    for epoch, loss in enumerate([6.9, 0.1, 50.0]):
        watch.on_epoch_end(epoch, {"loss": loss})
    with pytest.raises(Diverged, match="nan in epoch 4"):
        watch.on_epoch_end(3, {"loss": math.nan})
