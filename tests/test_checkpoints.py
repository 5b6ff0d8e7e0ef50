"""Checkpoints of training runs: whole or not there, and only for the model they are of."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_pvt import training
from keras_pvt.conversion import CheckpointError, read_checkpoint
from keras_pvt.layers import DropPath
from keras_pvt.training.checkpoints import Checkpoints
from keras_pvt.training.state import load_state, save_state


@pytest.fixture
def trained(rng):
    """A model with drop path after two steps, and its optimizer."""
    return train(rng)


def train(rng, classes=7, name="adamw"):
    inputs = keras.Input((6,))
    x = keras.layers.Dense(8, name="first")(inputs)
    x = DropPath(0.3)(x)  # whose seed generator has a state
    model = keras.Model(inputs, keras.layers.Dense(classes, name="head")(x))
    model.compile(
        training.make_optimizer(name, model, 0.01, 0.1),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(rng.normal(size=(4, 6)).astype("float32"), np.arange(4), epochs=2, verbose=0)
    return model


def values(model):
    return [np.array(v) for v in [*model.variables, *model.optimizer.variables]]


def test_all_comes_back(trained, rng, tmp_path):
    path = tmp_path / "state.safetensors"
    save_state(path, trained, trained.optimizer, {"epoch": 3})
    other = train(rng)  # its optimizer and seed generators have other names
    assert any((a != b).any() for a, b in zip(values(trained), values(other), strict=True))
    assert load_state(path, other, other.optimizer) == {"epoch": 3}
    for a, b in zip(values(trained), values(other), strict=True):
        np.testing.assert_array_equal(a, b)
    assert load_state(path, other) == {"epoch": 3}  # without the optimizer
    assert os.listdir(tmp_path) == ["state.safetensors"]


@pytest.mark.one_backend("what is said")
@pytest.mark.parametrize(
    ("change", "message"),
    [({"classes": 5}, r"head/kernel has shape \(8, 7\) there and \(8, 5\) here"),
     ({"name": "muon"}, "another model or optimiser")],
)  # fmt: skip
def test_a_checkpoint_of_another_model(trained, rng, tmp_path, change, message):
    save_state(tmp_path / "s", trained, trained.optimizer, {})
    other = train(rng, **change)
    before = values(other)
    with pytest.raises(ValueError, match=message):
        load_state(tmp_path / "s", other, other.optimizer)
    for a, b in zip(before, values(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.one_backend("reads files")
@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"no"])
def test_a_damaged_checkpoint(trained, tmp_path, damage):
    path = tmp_path / "s"
    save_state(path, trained, trained.optimizer, {})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="no whole checkpoint"):
        load_state(path, trained, trained.optimizer)


def test_the_last_and_the_best_are_kept(trained, tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", trained, keep=2)
    checkpoints.set_model(trained)
    for epoch, accuracy in enumerate([0.3, 0.6, 0.5, 0.4]):
        trained.trainable_variables[0].assign_add(
            keras.ops.ones(trained.trainable_variables[0].shape)
        )
        checkpoints.on_epoch_end(epoch, {"val_accuracy": accuracy})
    names = sorted(os.listdir(tmp_path / "c"))
    assert names == ["best.safetensors", "epoch-0003.safetensors", "epoch-0004.safetensors"]
    assert load_state(tmp_path / "c" / "best.safetensors", trained) == {"epoch": 2, "best": 0.6}

    with pytest.raises(CheckpointError, match=r"what a training run goes on from.*model\.keras in"):
        read_checkpoint(tmp_path / "c" / "best.safetensors")
    (tmp_path / "c" / ".123-epoch-0005.safetensors").write_bytes(b"of a killed run")
    again = Checkpoints(tmp_path / "c", trained)
    assert again.restore(trained.optimizer) == 4
    assert again.best == 0.6
    assert sorted(os.listdir(tmp_path / "c")) == names


@pytest.mark.one_backend("starts a process to write a file")
def test_a_full_disk_leaves_what_was_there(tmp_path):
    """A limit on file sizes stands for the full disk."""
    code = f"""
import resource, signal, sys
import numpy as np
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_checkpoints import train
from keras_pvt.training.state import save_state
import pathlib
model = train(np.random.default_rng(0))
path = pathlib.Path({os.fspath(tmp_path)!r}) / "s"
save_state(path, model, model.optimizer, {{"epoch": 1}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
try:
    save_state(path, model, model.optimizer, {{"epoch": 2}})
except OSError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "cannot be written" in done.stdout, done.stderr
    assert "the checkpoints before are whole" in done.stdout
    assert os.listdir(tmp_path) == ["s"]
    model = train(np.random.default_rng(0))
    assert load_state(tmp_path / "s", model, model.optimizer) == {"epoch": 1}
