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

pytestmark = pytest.mark.one_backend(
    "a run around a step that test_every_system.py takes", full=True
)

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
    assert (
        "48 images of 2 classes, 14 to validate on; 3 epochs of 6 steps, batch 8; on one device by "
        f"{keras.backend.backend()}, float32\n" in shown
    )
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
    [
        pytest.param(
            "none",
            marks=[pytest.mark.one_backend("as in float16"), pytest.mark.full("as in float16")],
        ),
        "float16",
    ],
)
def test_averaged_weights_are_the_result(data, tmp_path, capsys, precision):
    """Validation in the last epoch, by averaged weights, is that of the model that is kept."""
    out = tmp_path / "out"
    more = ["--epochs=2", "--ema=0.8", f"--mixed-precision={precision}"]
    assert main(words(data, out, *more)) == 0
    last = training.read_history(out / "history.csv")[-1]
    shown = re.search(r"^val .*\bloss ([\d.]+)", capsys.readouterr().out, re.MULTILINE)
    assert float(shown[1]) == pytest.approx(last["val_loss"], abs=1e-4)
    tolerance = 1e-4 if precision == "none" else 2e-3
    assert loss_of(out / "model.keras", data) == pytest.approx(last["val_loss"], abs=tolerance)
    state = load_file(out / "checkpoints" / "epoch-0002.safetensors")
    kernel = np.array(keras.saving.load_model(out / "model.keras").get_layer("head").kernel)
    trained = next(array for name, array in state.items() if name.endswith("head/kernel"))
    assert (kernel != trained).any()


def loss_of(path, data):
    """The loss of a trained model on the images to validate on."""
    images = training.data.open_images(data, "val")
    transform = training.augmentation.EvalTransform(16)
    model = keras.saving.load_model(path)
    model.compile(loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    batches = training.data.ImageBatches(images, 14, transform, shuffle=False)
    return model.evaluate(batches, verbose=0)


def start(arguments):
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "keras_pvt.cli", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


@pytest.mark.full("trains thrice; test_train_detector.py has a stopped run that goes on")
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
    assert "resuming after epoch" in capsys.readouterr().out
    same_run(tmp_path / "killed", tmp_path / "whole", 3)


def same_run(out, other, epochs):
    """Weights, the optimizer's state and the log are the same, to the bit."""
    name = f"epoch-{epochs:04}.safetensors"
    states = [load_file(folder / "checkpoints" / name) for folder in (out, other)]
    assert states[0].keys() == states[1].keys()
    for key, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][key], err_msg=key)
    logs = [training.read_history(folder / "history.csv") for folder in (out, other)]
    for rows in zip(*logs, strict=True):
        for row in rows:
            del row["images_per_second"], row["seconds"], row["cpu_seconds"]
            del row["validation_seconds"]
        assert rows[0] == rows[1]


@pytest.mark.one_backend("test_kill_9_changes_no_bit goes on with a run on each")
@pytest.mark.parametrize(
    "ema", [pytest.param("0", marks=pytest.mark.full("as with an average")), "0.9"]
)
@pytest.mark.full("two runs; test_a_stopped_run_ends_like_one_that_was_not stops there, too")
def test_what_cannot_be_measured_is_not_lost(data, tmp_path, capsys, monkeypatch, ema):
    """The epoch was trained and kept: it is measured when the run goes on, and not trained anew."""
    more = ["--epochs=2", f"--ema={ema}"]
    assert main(words(data, tmp_path / "whole", *more)) == 0
    out = tmp_path / "stopped"
    for epoch in (1, 2):  # the first and the last
        with monkeypatch.context() as patch:
            patch.setattr(keras.Model, "evaluate", no_space)
            assert main(words(data, out, *more)) == 1
        assert "no space" in capsys.readouterr().err
        kept = sorted(path.name for path in (out / "checkpoints").glob("epoch-*"))
        assert kept[-1] == f"epoch-{epoch:04}.safetensors"
        if epoch == 1:
            patched_fit(data, out, more, monkeypatch)
    trained = []
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", lambda *_, **__: trained.append("an epoch"))
        assert main(words(data, out, *more)) == 0
    assert not trained
    same_run(out, tmp_path / "whole", 2)


def no_space(*_, **__):
    raise OSError("no space")


def patched_fit(data, out, more, monkeypatch):
    """Measure the first epoch, and stop before the second is trained."""
    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "fit", no_space)
        assert main(words(data, out, *more)) == 1
    assert len(training.read_history(out / "history.csv")) == 1


@pytest.mark.one_backend("what the run writes")
def test_the_model_is_written_before_pictures(data, tmp_path, monkeypatch):
    monkeypatch.setattr("keras_pvt.training.run.draw_curves", no_space)
    assert main(words(data, tmp_path / "out", "--epochs=1", "--limit-steps=1")) == 1
    assert {"model.keras", "best.keras"} <= {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.one_backend("what the run says")
def test_a_library_that_is_missing_is_told_at_the_begin(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    message = 'drawing curves needs matplotlib: pip install "keras-pvt[plot]"'
    fails(capsys, words(data, tmp_path / "out", "--epochs=1"), message)
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    message = '--tensorboard needs tensorboard: pip install "keras-pvt[tensorboard'
    fails(capsys, words(data, tmp_path / "out", "--epochs=1", "--tensorboard"), message)
    assert not (tmp_path / "out").exists()


CONSTANT = ["--learning-rate=1e-3", "--end-rate=1e-3"]  # once it has risen


@pytest.mark.full("three runs; test_the_rate_of_an_extended_run extends one, too")
@pytest.mark.one_backend("test_kill_9_changes_no_bit goes on with a run on each")
def test_an_extended_run_is_the_longer_one(data, tmp_path, capsys):
    """Of a rate that the length does not change, to the bit; with the weights' average too."""
    more = [*CONSTANT, "--ema=0.9"]
    assert main(words(data, tmp_path / "whole", *more, "--epochs=3")) == 0
    out = tmp_path / "extended"
    assert main(words(data, out, *more, "--epochs=2")) == 0
    capsys.readouterr()
    for _ in range(2):  # the second time there is nothing left to do
        assert main(words(data, out, *more, "--epochs=3", "--extend")) == 0
    shown = capsys.readouterr().out
    assert shown.count("resuming after epoch 2\n") == shown.count("epoch 3/3") == 1
    assert shown.count("the run is already finished; add --extend and more --epochs") == 1
    same_run(out, tmp_path / "whole", 3)
    for name in ("model.keras", "best.keras"):
        ours, theirs = (
            keras.saving.load_model(folder / name).get_weights()
            for folder in (out, tmp_path / "whole")
        )
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.full("trains for four epochs")
@pytest.mark.one_backend("a function of the step")
def test_the_rate_of_an_extended_run(data, tmp_path):
    """What lies behind had the rate of the short run; then, it is that of the long one."""
    out = tmp_path / "out"
    assert main(words(data, out, "--epochs=2")) == 0
    assert main(words(data, out, "--epochs=4", "--extend")) == 0
    short, long = (training.WarmUpCosine(2e-3, 3, 6 * epochs) for epochs in (2, 4))
    wanted = [short(6), short(12), long(18), long(24)]
    rows = training.read_history(out / "history.csv")
    np.testing.assert_allclose(
        [row["learning_rate"] for row in rows], [float(rate) for rate in wanted], rtol=1e-4
    )
    settings = json.loads((out / "settings.json").read_text())
    assert settings["epochs"] == 4
    assert settings["extended"] == [{"after_epoch": 2, "epochs": 2}]


@pytest.mark.one_backend("what the run says")
def test_how_to_go_on_with_a_run(data, tmp_path, capsys):
    """Both ways that the error names are ways."""
    out, other = tmp_path / "out", tmp_path / "other"
    fails(capsys, words(data, out, "--extend"), f"--extend: there is no run in {out}")
    more = ["--limit-steps=1", "--cutmix=0"]
    assert main(words(data, out, "--epochs=2", *more)) == 0
    capsys.readouterr()
    advice = (
        "was started with epochs 2, now it is 3; add --extend and more --epochs to train it for "
        f"longer, or start another run from its weights with --load-from {out}/model.keras "
        "(--weights: those of the backbone) and another --out"
    )
    fails(capsys, words(data, out, "--epochs=3", *more), advice)
    advice = "rerun with the same value, or choose another --out."
    shorter = f"was started with epochs 2, now it is 1; {advice}"
    fails(capsys, words(data, out, "--epochs=1", "--extend", *more), shorter)
    seed = "was started with seed 0, now it is 1; rerun with the same"
    fails(capsys, words(data, out, "--epochs=3", "--extend", "--seed=1", *more), seed)
    written = json.loads((out / "settings.json").read_text())
    assert written["epochs"] == 2
    file = shutil.copy(out / "model.keras", tmp_path / "start.keras")
    start = f"--load-from={file}"
    assert main(words(data, other, start, "--epochs=1", "--learning-rate=1e-9", *more)) == 0
    ours, theirs = (keras.saving.load_model(f / "model.keras").get_weights() for f in (out, other))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    file.unlink()  # a run that goes on needs it no more
    assert (
        main(words(data, other, start, "--epochs=2", "--learning-rate=1e-9", "--extend", *more))
        == 0
    )
    del written["load_from"]  # as by a version without that option
    (out / "settings.json").write_text(json.dumps(written))
    assert main(words(data, out, "--epochs=2", *more)) == 0
    changed = "was started with load_from '', now it is"
    fails(capsys, words(data, out, "--epochs=2", start, *more), changed)


@pytest.mark.one_backend("what the run says")
def test_the_limit_of_steps_is_a_setting(data, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(words(data, out, "--epochs=1", "--limit-steps=1")) == 0
    assert json.loads((out / "settings.json").read_text())["limit_steps"] == 1
    capsys.readouterr()
    fails(capsys, words(data, out, "--epochs=1"), "was started with limit_steps 1, now it is 0")


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
            marks=pytest.mark.one_backend("what the run says"),
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


@pytest.mark.one_backend("what the run says")
def test_another_run_in_the_same_folder(data, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(words(data, out, "--epochs=1")) == 0
    capsys.readouterr()
    before = (out / "model.keras").read_bytes()
    fails(capsys, words(data, out, "--epochs=2"), "was started with epochs 1, now it is 2")
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


@pytest.mark.one_backend("what the run says")
def test_files_that_are_passed_over_are_named(data, tmp_path, capsys):
    (data / "train" / "dark" / "00.png").rename(data / "train" / "dark" / "00.jfif")
    (data / "val" / "light" / "notes.txt").write_text("no image")
    assert main(words(data, tmp_path / "out", "--epochs=1", "--limit-steps=1")) == 0
    shown = capsys.readouterr().out
    assert "1 x file without the ending of an image: passed over; the first is " in shown
    assert f"light{os.sep}notes.txt" in shown
    assert "48 images of 2 classes, 14 to validate on" in shown


@pytest.mark.one_backend("what the run says")
def test_an_image_that_cannot_be_read(data, tmp_path, capsys, caplog):
    for name in ("train/dark/05.png", "val/light/03.png"):
        (data / name).write_bytes(b"no image")
    assert main(words(data, tmp_path / "out", "--epochs=2")) == 0
    shown = capsys.readouterr().out
    assert "1 images could not be read" in shown
    assert f"dark{os.sep}05.png" in shown
    logged = [record.getMessage() for record in caplog.records]
    assert [f"light{os.sep}03.png" in line for line in logged].count(True) == 1  # of two epochs


@pytest.mark.one_backend("what the run says")
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


@pytest.mark.one_backend("what the run says")
def test_other_images_are_another_run(data, tmp_path, capsys):
    """A split would be drawn anew: what was trained on would be validated on."""
    command = ["train", "finetune", f"--data={data / 'train'}", f"--out={tmp_path / 'out'}", *RUN]
    command += ["--epochs=2", "--limit-steps=1"]
    assert main(command) == 0
    capsys.readouterr()
    first = next((data / "train" / "dark").iterdir())
    shutil.copy(first, first.with_name("another.png"))
    fails(capsys, command, "was started with image_counts [38, 10], now it is [39, 10]")


def test_data_is_needed(capsys):
    fails(capsys, ["train", "finetune", "--out", "never"], "--data is needed")
    assert not os.path.exists("never")
