"""Which backend is taken, and that a command at a terminal says so."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

import keras_pvt
from keras_pvt import default_backend
from keras_pvt.cli import main, program
from keras_pvt.ops import BACKEND, device

BUNDLED = pathlib.Path(keras_pvt.__file__).parent / "data" / "pvt_nano_cifar10.safetensors"
ALL = ["tensorflow", "jax", "torch"]


@pytest.mark.one_backend("starts processes that import no backend")
@pytest.mark.parametrize(
    ("environment", "configured", "missing", "backend", "choice"),
    [
        (None, None, [], None, ALL),  # Keras takes TensorFlow by itself
        (None, "tensorflow", [], None, ALL),  # as Keras writes it unasked
        (None, None, ["tensorflow"], "jax", ["jax", "torch"]),
        (None, None, ["tensorflow", "jax"], "torch", ["torch"]),
        (None, "torch", [], None, []),
        ("jax", None, [], "jax", []),
        ("jax", "torch", ["tensorflow"], "jax", []),
        (None, None, ALL, None, []),
    ],
)
def test_the_rule(environment, configured, missing, backend, choice, tmp_path):
    code = (
        "import importlib.util as util, json, os, sys; find = util.find_spec;"
        f"util.find_spec = lambda name, *rest: name not in {missing} and find(name, *rest);"
        "sys.argv[0] = 'keras-pvt'; from keras_pvt.default_backend import OPEN;"
        "print(json.dumps([os.environ.get('KERAS_BACKEND'), OPEN]))"
    )
    if configured is not None:
        (tmp_path / "keras.json").write_text(json.dumps({"backend": configured}))
    env = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    env |= {"KERAS_HOME": str(tmp_path)}
    env |= {} if environment is None else {"KERAS_BACKEND": environment}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [backend, choice]


def test_the_first_line_names_backend_and_device(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    name, count = device()
    assert name == "cpu" or "(" in name  # a GPU is named
    place = f"; device: {name}" + (f", 1 of {count}" if count > 1 else "")
    others = ", ".join(name for name in ALL if name != BACKEND)
    choice = f" (installed too: {others}; KERAS_BACKEND chooses)"
    for number, (there, said) in enumerate((([], ""), (ALL, choice), ([BACKEND], ""))):
        monkeypatch.setattr(default_backend, "OPEN", there)
        assert main(["convert", str(BUNDLED), str(tmp_path / f"{number}.npz")]) == 0
        assert capsys.readouterr().err.splitlines()[0] == f"backend: {BACKEND}{said}{place}"
    monkeypatch.setattr("keras_pvt.training.trainer.train", lambda *_, **__: {})
    assert main(["train", "finetune", "--backend-strategy", "none"]) == 0
    assert capsys.readouterr().err == f"backend: {BACKEND}{place}\n"


@pytest.mark.one_backend("a line of text")
def test_devices_that_a_run_leaves_idle_are_counted(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(default_backend, "OPEN", [])
    monkeypatch.setattr("keras_pvt.ops.device", lambda: ("cuda:0 (a GPU)", 4))
    for used, text in ((1, "cuda:0 (a GPU), 1 of 4"), (4, "cuda:0 (a GPU), 4 in all")):
        program.say_backend(used)
        assert capsys.readouterr().err == f"backend: {BACKEND}; device: {text}\n"


@pytest.mark.one_backend("a line of text")
def test_nothing_is_said_to_a_pipe_or_where_nothing_computes(tmp_path, capsys, monkeypatch):
    assert main(["convert", str(BUNDLED), str(tmp_path / "nano.npz")]) == 0
    assert "backend:" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for words in (["info", "pvt_tiny"], ["train", "finetune", "--show"]):
        assert main(words) == 0
        assert "backend:" not in capsys.readouterr().err
