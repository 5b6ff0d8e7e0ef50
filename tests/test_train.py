"""`keras-pvt train`: it learns, survives kill -9 to the bit, and names bad input in one line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from image_folders import write_images
from PIL import Image
from safetensors.numpy import load_file

from keras_pvt import training
from keras_pvt.cli import main

pytestmark = pytest.mark.one_backend("a run around a step that test_every_system.py takes")

SMALL = ["--size=16", "--batch-size=8", "--drop-path=0.2", "--shift=1", "--warm-up=0.5"]
RUN = ["--backend-strategy=none", *SMALL]


@pytest.fixture
def data(tmp_path, rng):
    """Two classes that differ in brightness: learnt in a few steps."""
    levels = {"dark": 60, "light": 190}

    def pixels(name, _):
        return rng.integers(levels[name] - 40, levels[name] + 40, (20, 23, 3))

    for part, count in (("train", 24), ("val", 7)):
        write_images(tmp_path / "data" / part, dict.fromkeys(levels, count), pixels)
    return tmp_path / "data"


def words(data, out, *more):
    return ["train", "cifar10_pvt_nano", f"--data={data}", f"--out={out}", *RUN, *more]


def test_it_learns(data, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(words(data, out, "--epochs=3", "--cutmix=0", "--keep=1", "--tensorboard")) == 0
    assert list(out.glob("tensorboard/train/events*"))
    shown = capsys.readouterr().out
    assert "48 images of 2 classes, 14 to validate on; 3 epochs of 6 steps, batch 8" in shown
    assert "val accuracy 1.0000" in shown
    assert sorted(os.listdir(out / "checkpoints")) == ["best.safetensors", "epoch-0003.safetensors"]
    rows = training.read_history(out / "history.csv")
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert rows[-1]["val_accuracy"] == 1
    assert min(row["images_per_second"] for row in rows) > 0
    assert json.loads((out / "settings.json").read_text())["classes"] == ["dark", "light"]
    assert np.asarray(Image.open(out / "curves.png")).std() > 1
    for name in ("model.keras", "best.keras"):
        model = keras.saving.load_model(out / name)
        assert model.output_shape == (None, 2)
        logits = model.predict(np.stack([np.full((16, 16, 3), v, "float32") for v in (-1, 1)]))
        np.testing.assert_array_equal(logits.argmax(-1), [0, 1])


@pytest.mark.parametrize(
    "precision",
    [pytest.param("none", marks=pytest.mark.one_backend("as in float16", always=True)), "float16"],
)
def test_averaged_weights_are_the_result(data, tmp_path, capsys, precision):
    """Validation in the last epoch, by averaged weights, is that of the model that is kept."""
    out = tmp_path / "out"
    more = ["--epochs=2", "--ema=0.8", f"--mixed-precision={precision}"]
    assert main(words(data, out, *more)) == 0
    last = training.read_history(out / "history.csv")[-1]
    shown = re.search(r"^val .*\bloss ([\d.]+)", capsys.readouterr().out, re.MULTILINE)
    assert float(shown[1]) == pytest.approx(
        last["val_loss"], abs=1e-4 if precision == "none" else 2e-3
    )
    state = load_file(out / "checkpoints" / "epoch-0002.safetensors")
    kernel = np.array(keras.saving.load_model(out / "model.keras").get_layer("head").kernel)
    trained = next(array for name, array in state.items() if name.endswith("head/kernel"))
    assert (kernel != trained).any()


def start(arguments):
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "keras_pvt.cli", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def test_kill_9_changes_no_bit(data, tmp_path, capsys):
    """Killed in the midst of the second epoch, and once more while the first checkpoint is old."""
    more = ["--epochs=3", "--ema=0.9", "--rand-augment=rand-m9-mstd0.5-inc1"]
    assert main(words(data, tmp_path / "whole", *more)) == 0
    for ended in ("epoch 1/3", "epoch 2/3"):
        with start(words(data, tmp_path / "killed", *more)) as process:
            for line in process.stdout:
                if line.startswith(ended):
                    break
            process.send_signal(signal.SIGKILL)
    assert main(words(data, tmp_path / "killed", *more)) == 0
    assert "going on after epoch" in capsys.readouterr().out
    whole, killed = (
        load_file(tmp_path / name / "checkpoints" / "epoch-0003.safetensors")
        for name in ("whole", "killed")
    )
    assert whole.keys() == killed.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(array, killed[name], err_msg=name)
    logs = [training.read_history(tmp_path / name / "history.csv") for name in ("whole", "killed")]
    for one, other in zip(*logs, strict=True):
        del one["images_per_second"], other["images_per_second"]
        assert one == other


def fails(capsys, arguments, message):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--epochs=0"], "--epochs must be above 0; got 0"),
        (["--learning-rate=-1"], "--learning-rate must be above 0; got -1.0"),
        (["--size=16x24"], "--size must be that of a square"),
        (["--val-split=1"], "--val-split must be 0 or more, below 1; got 1.0"),
        (["--keep=0"], "--keep must be above 0; got 0"),
        (["--weights=absent.pth"], "absent.pth"),
        (["--data=absent"], "absent"),
        pytest.param(
            ["--learning-rate=1e30", "--epochs=2"],
            "the loss is nan",
            marks=pytest.mark.one_backend("what the run says", always=True),
        ),
    ],
)
def test_bad_options(data, tmp_path, capsys, more, message):
    fails(capsys, words(data, tmp_path / "out", *more), message)
    assert not (tmp_path / "out" / "model.keras").exists()


def test_bad_folders(data, tmp_path, capsys):
    arguments = words(data, tmp_path / "out", "--epochs=1")
    (data / "val" / "dark").rename(data / "val" / "dusk")
    fails(capsys, arguments, "dusk")
    for path in (data / "train" / "dark").iterdir():
        path.unlink()
    fails(capsys, arguments, "dark")
    (data / "train" / "dark").rmdir()
    fails(capsys, arguments, "light")
    assert not (tmp_path / "out").exists()


@pytest.mark.one_backend("what the run says", always=True)
def test_another_run_in_the_same_folder(data, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(words(data, out, "--epochs=1")) == 0
    capsys.readouterr()
    before = (out / "model.keras").read_bytes()
    fails(capsys, words(data, out, "--epochs=2"), "was begun with epochs 1, now it is 2")
    settings = json.loads((out / "settings.json").read_text())
    (out / "settings.json").write_text(json.dumps({**settings, "optimizer": "adamw"}))
    fails(
        capsys,
        words(data, out, "--epochs=1", "--optimizer=adamw"),
        "is of another model or optimiser",
    )
    assert (out / "model.keras").read_bytes() == before


def test_two_runs_at_once(data, tmp_path, capsys):
    import filelock

    out = tmp_path / "out"
    out.mkdir()
    with filelock.FileLock(out / ".lock"):
        fails(capsys, words(data, out, "--epochs=1"), "another process trains in")


@pytest.mark.one_backend("what the run says", always=True)
def test_an_image_that_cannot_be_read(data, tmp_path, capsys, caplog):
    (data / "train" / "dark" / "05.png").write_bytes(b"no image")
    assert main(words(data, tmp_path / "out", "--epochs=1")) == 0
    shown = capsys.readouterr().out
    assert "1 images could not be read" in shown
    assert f"dark{os.sep}05.png" in shown


@pytest.mark.one_backend("what the run says", always=True)
def test_class_folders_are_all_that_it_takes(data, tmp_path, capsys, monkeypatch):
    """The last line says where the result is and how to use it, and that works."""
    monkeypatch.chdir(tmp_path)
    shutil.move(data / "train", "pictures")
    more = ["--batch-size=30", "--epochs=2", "--limit-steps=1"]
    assert main(["train", "finetune", "--data=pictures", *more]) == 0
    out = capsys.readouterr().out
    assert "pictures has no images to validate on: 20% of each class are taken for it" in out
    assert "38 images of 2 classes, 10 to validate on; 2 epochs of 2 steps, batch 19 instead" in out
    last = out.splitlines()[-1]
    assert last.startswith("results in runs/finetune; to use them: keras-pvt predict IMAGE --model")
    words = last.split("keras-pvt ")[1].replace("IMAGE", "pictures/dark/05.png").split()
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split("\t")[1] for line in lines} == {"dark", "light"}


def test_other_images_are_another_run(data, tmp_path, capsys):
    """A split would be drawn anew: what was trained on would be validated on."""
    command = ["train", "finetune", f"--data={data / 'train'}", f"--out={tmp_path / 'out'}", *RUN]
    command += ["--epochs=2", "--limit-steps=1"]
    assert main(command) == 0
    capsys.readouterr()
    first = next((data / "train" / "dark").iterdir())
    shutil.copy(first, first.with_name("another.png"))
    fails(capsys, command, "was begun with images [38, 10], now it is [39, 10]")


def test_data_is_needed(capsys):
    fails(capsys, ["train", "finetune", "--out", "never"], "--data is needed")
    assert not os.path.exists("never")
