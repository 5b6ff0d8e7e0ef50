"""What the examples of exported files tell to do works as it stands there."""

import pathlib
import shutil
import subprocess

import pytest
from scripts import load_script

import keras_pvt
from keras_pvt.cli import main
from keras_pvt.ops import BACKEND

ROOT = pathlib.Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "images" / "dog.jpg"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(PHOTO, "photo.jpg")
    return tmp_path


@pytest.mark.full("installs packages of node")
@pytest.mark.one_backend("runs one file under node")
def test_javascript(folder):
    if not shutil.which("npm"):
        pytest.skip("there is no node")
    packages = ["onnxruntime-node@1.30.0", "sharp@0.35.5"]
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages]
    installed = subprocess.run(command, capture_output=True, text=True)
    if installed.returncode:
        pytest.skip(f"npm cannot install: {installed.stderr[-200:]}")
    for name in ("classify.mjs", "pixels.mjs"):
        shutil.copy(ROOT / "examples" / "javascript" / name, folder)
    words = ["export", "pvt_nano", "--format", "onnx", "--include-preprocessing"]
    assert main(words) == 0
    crop = keras_pvt.eval_transform(PHOTO, 32, 32)
    done = subprocess.run(
        ["node", "classify.mjs", "pvt_nano.onnx", "photo.jpg", "32", "32"],
        capture_output=True,
        text=True,
        check=True,
    )
    model = keras_pvt.PVTNano(weights="cifar10", include_preprocessing=True)
    expected = model.predict(crop[None], verbose=0)[0]
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert [int(index) for index, _ in lines] == list(expected.argsort()[::-1][:5])
    for index, probability in lines:
        assert abs(float(probability) - expected[int(index)]) < 1e-4


@pytest.mark.full("a script; test_exporting.py writes each format")
@pytest.mark.skipif(BACKEND == "jax", reason="does not write")
def test_example(tmp_path, capsys):
    formats = {"tensorflow": ["tflite", "saved_model"], "torch": ["onnx"]}[BACKEND]
    load_script("examples/export_and_run.py").main(
        [str(PHOTO), "--out", str(tmp_path / "out"), "--formats", *formats]
    )
    out = capsys.readouterr().out
    assert all(name in out for name in formats)
    crop = keras_pvt.eval_transform(PHOTO, 32, 32)[None]
    model = keras_pvt.PVTNano(weights="cifar10", include_preprocessing=True)
    predictions = model.predict(crop, verbose=0)
    ((_, name, probability),) = keras_pvt.decode_predictions(predictions, 1, "cifar10")[0]
    assert out.count(f"{name} {probability:.1%}") == len(formats)
