"""`keras-pvt train` for detectors: training, resuming and its file."""

import csv
import json
import re
import sys

import keras
import numpy as np
import pytest
from conftest import TINY
from detection_data import CLASSES, HEIGHT, WIDTH, write_set
from PIL import Image

from keras_pvt import training
from keras_pvt.cli import main
from keras_pvt.detection import evaluation
from keras_pvt.detection.detector import Detector
from keras_pvt.training.callbacks import Progress
from keras_pvt.variants import VARIANTS

pytestmark = pytest.mark.one_backend(
    "a run around a step that test_every_system.py takes", full=True
)

COUNTS = {"train": 8, "val": 4}  # four batches: an order of their own would show


@pytest.fixture(scope="module")
def trainer():
    """Takes a command line, and gives the exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "tiny", TINY)
        yield main


def sets_in(folder, masks):
    rng = np.random.default_rng(5)
    return {part: write_set(folder / part, count, rng, masks) for part, count in COUNTS.items()}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return sets_in(tmp_path_factory.mktemp("data"), masks=False)


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    return sets_in(tmp_path_factory.mktemp("masked"), masks=True)


def words(sets, out, epochs=2, **options):
    """The command line of a small run."""
    options = {
        "library": "keras_cv",
        "data": sets["train"],
        "images": sets["train"].parent / "images",
        "val-data": sets["val"],
        "val-images": sets["val"].parent / "images",
        "out": out,
        "variant": "tiny",
        "weights": "none",
        "epochs": epochs,
        "batch-size": 2,
        "anchor-size": 16,
        "learning-rate": 1e-4,
        "evaluate-every": 1,
        "size": f"{HEIGHT}x{WIDTH}",
        **options,
    }
    named = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return ["train", "retinanet_bccd", *named]


# Of this package, small enough for tests; what DETR and Mask R-CNN learn has tests of its own.
OWN = {
    "retinanet": {"neck-width": 16, "head-depth": 1},
    "mask_rcnn": {"neck-width": 16, "resize": "keep_ratio", "size": "64x1333"},
    "detr": {"neck-width": 16, "depth": 1, "num-queries": 12},
}


def own(model, **options):
    return {"library": "keras_pvt", "system": model, **OWN[model], **options}


@pytest.fixture(scope="module")
def run(trainer, data, tmp_path_factory):
    """The folder of a run that was not stopped."""
    out = tmp_path_factory.mktemp("run")
    assert trainer(words(data, out, **own("retinanet"))) == 0
    return out


def test_a_run_writes_log_pictures_and_settings(run):
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    for row in rows:
        parts = float(row["class_loss"]) + float(row["box_loss"])
        assert float(row["loss"]) == pytest.approx(parts, rel=1e-4)
        assert 0 <= float(row["AP50"]) <= 1
        assert np.isnan(float(row["AP_L"]))  # no object is of 96 x 96
        assert float(row["cpu_seconds"]) > 0
    for name in ("curves.png", "sheet.png"):
        assert np.asarray(Image.open(run / name)).std() > 1, name
    settings = json.loads((run / "settings.json").read_text())
    assert settings["classes"] == CLASSES
    assert settings["backend"] == keras.backend.backend()


# In the last epoch: before its checkpoint, before it was measured, and after it was logged.
STOPS = {
    "training": (training.Checkpoints, "write_epoch"),
    "measuring": (evaluation, "average_precision"),
    "all": (Progress, "on_epoch_end"),
}


@pytest.mark.parametrize(
    "stopped",
    [
        "all",
        *(
            pytest.param(name, marks=pytest.mark.one_backend("as where it is over"))
            for name in STOPS
            if name != "all"
        ),
    ],
)
def test_a_stopped_run_ends_like_one_that_was_not(
    trainer, data, run, tmp_path, monkeypatch, stopped
):
    out = tmp_path / "stopped"
    place, name = STOPS[stopped]
    does, calls = getattr(place, name), []

    def stop(*arguments, **options):
        calls.append(name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return does(*arguments, **options)

    options = words(data, out, **own("retinanet"))
    with monkeypatch.context() as patch:
        patch.setattr(place, name, stop)
        assert trainer(options) == 130
    kept = len(list((out / "checkpoints").glob("epoch-*")))
    logged = len(training.read_history(out / "history.csv"))
    assert (kept, logged) == {"training": (1, 1), "measuring": (2, 1), "all": (2, 2)}[stopped]
    keras.utils.set_random_seed(1)
    assert trainer(options) == 0
    rows, wanted = (training.read_history(folder / "history.csv") for folder in (out, run))
    assert [row["epoch"] for row in rows] == [0, 1]
    for name in ("loss", "AP"):
        assert [row[name] for row in rows] == [row[name] for row in wanted]
    assert rows[0].keys() == wanted[0].keys()
    ours, theirs = (
        Detector.load(folder / "model.keras").model.get_weights() for folder in (out, run)
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)  # on a CPU, to the bit


@pytest.mark.parametrize(
    ("model", "missing", "use"),
    [
        ("retinanet", "faster_coco_eval", "measuring average precision"),
        ("detr", "scipy", "training DETR"),
    ],
)
def test_a_library_that_is_missing_is_told_at_the_begin(
    trainer, data, tmp_path, capsys, monkeypatch, model, missing, use
):
    for name in [name for name in sys.modules if name.split(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    assert trainer(words(data, tmp_path / "out", **own(model))) == 1
    error = f'error: {use} needs {missing}: pip install "keras-pvt[detection]"\n'
    assert capsys.readouterr().err == error
    assert not (tmp_path / "out").exists()


def test_the_file_has_what_detecting_needs(run, data):
    detector = Detector.load(run / "model.keras")
    assert (detector.library, detector.classes) == ("keras_pvt", CLASSES)
    assert detector.size == (HEIGHT, WIDTH)  # shorter and longer side
    folder = data["val"].parent / "images"
    files = sorted(folder.iterdir())
    found = list(detector.detect(files, batch_size=2))
    assert [one.path for one in found] == files
    for one in found:
        assert len(one.boxes) == len(one.scores) == len(one.labels)
        assert (np.diff(one.scores) <= 0).all()
        assert (one.boxes >= 0).all()
        assert (one.boxes <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()


def test_a_run_starts_from_another_detector(trainer, run, data, tmp_path, capsys):
    """Here with steps that change nothing, and without the weights that are named otherwise."""
    start = own("retinanet", **{"load-from": run, "weights": "imagenet"})  # its model.keras
    still = {"learning-rate": 1e-30, "weight-decay": 0}
    assert trainer(words(data, tmp_path / "more", epochs=1, **start, **still)) == 0
    first, then = (
        Detector.load(folder / "model.keras").model for folder in (run, tmp_path / "more")
    )
    for before, after in zip(first.weights, then.weights, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (before, after)))
    for change, message in (
        ({"load-from": tmp_path / "none.keras"}, "none.keras' is no file of a trained model"),
        ({"neck-width": 24}, "mis-shaped: neck"),
        ({"system": "detr", "depth": 1}, "this is a retinanet checkpoint, and the model a detr"),
    ):
        capsys.readouterr()
        assert trainer(words(data, tmp_path / "out", **{**start, **change})) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "history.csv").exists()


@pytest.mark.full("trains by two libraries")
@pytest.mark.one_backend("test_ecosystem.py trains them on each")
@pytest.mark.parametrize("library", ["keras_cv", "keras_hub"])
def test_training_with_other_libraries(trainer, data, tmp_path, library):
    pytest.importorskip(library)
    options = words(data, tmp_path / "run", epochs=1, library=library)
    assert trainer([*options, "--mixed-precision", "bfloat16", "--flip-y"]) == 0
    (row,) = training.read_history(tmp_path / "run" / "history.csv")
    assert np.isfinite(row["loss"])
    detector = Detector.load(tmp_path / "run" / "model.keras")
    assert (detector.library, detector.size) == (library, (HEIGHT, WIDTH))
    files = [data["val"].parent / "images" / "2.png"]
    assert next(detector.detect(files, 2)).error is None


@pytest.mark.one_backend("test_detr.py trains it on each")
def test_training_detr(trainer, data, tmp_path, capsys):
    options = words(data, tmp_path / "run", epochs=4, **own("detr", **{"learning-rate": 1e-3}))
    assert trainer([*options, "--evaluate-every", "4", "--backbone-rate", "0.1"]) == 0
    shown = capsys.readouterr().out
    assert "4 epochs of 4 steps, evaluated every 4 epochs, batch 2; on one device by" in shown
    first, last = (re.search(f"^epoch {n}/4: .*$", shown, re.MULTILINE)[0] for n in (1, 4))
    assert "AP" not in first
    assert "AP50" in last
    assert "nan" not in first + last
    rows = training.read_history(tmp_path / "run" / "history.csv")
    assert rows[3]["loss"] < rows[0]["loss"]
    log = (tmp_path / "run" / "history.csv").read_text().splitlines()
    columns = log[0].split(",")
    for number, line in enumerate(log[1:], 1):
        cells = dict(zip(columns, line.split(","), strict=True))
        assert (cells["AP50"] == cells["AP_L"] == "") == (number < 4)  # not measured: no "nan"
        assert float(cells["seconds"]) > 0
    detector = Detector.load(tmp_path / "run" / "model.keras")
    (found,) = detector.detect([data["val"].parent / "images" / "2.png"], 2)
    assert len(found.boxes) == OWN["detr"]["num-queries"]


@pytest.mark.one_backend("test_mask_rcnn_losses.py has what it learns by on each")
@pytest.mark.full("learns for three epochs; test_every_system.py has a step of it")
def test_training_mask_rcnn(trainer, masked, tmp_path):
    own_options = own("mask_rcnn", **{"learning-rate": 1e-3, "evaluate-every": 3})
    options = words(masked, tmp_path / "run", epochs=3, **own_options)
    assert trainer([*options, "--smallest-scale", "1"]) == 0
    rows = training.read_history(tmp_path / "run" / "history.csv")
    assert rows[2]["loss"] < rows[0]["loss"]
    assert 0 <= rows[2]["mask_AP50"] <= 1
    detector = Detector.load(tmp_path / "run" / "model.keras")
    (found,) = detector.detect([masked["val"].parent / "images" / "2.png"], 2)
    assert found.masks.shape == (len(found.boxes), 28, 28)
    assert found.mask(0).shape == (HEIGHT, WIDTH)


@pytest.mark.one_backend("test_detection_inputs.py has such batches")
def test_images_of_unequal_sizes_are_found_as_each_alone(run, tmp_path, rng):
    """Together in a batch, though their canvases differ."""
    for number, size in enumerate(((96, 64), (64, 96), (200, 50), (96, 70))):
        pixels = rng.integers(0, 255, (*size, 3)).astype("uint8")
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    files = sorted(tmp_path.iterdir())
    detector = Detector.load(run / "model.keras")
    for name in ("class_logits", "box_deltas"):  # so that scores are high, and differ
        layer = detector.model.get_layer(name)
        layer.kernel.assign(rng.normal(0, 0.3, layer.kernel.shape))
        layer.bias.assign(rng.normal(0, 1, layer.bias.shape))
    together = list(detector.detect(files, batch_size=4))
    for file, found in zip(files, together, strict=True):
        (alone,) = detector.detect([file], batch_size=1)
        assert len(found.boxes) == len(alone.boxes) > 0
        np.testing.assert_allclose(found.boxes, alone.boxes, atol=0.01)
        np.testing.assert_allclose(found.scores, alone.scores, atol=1e-5)


@pytest.mark.one_backend("what the run says")
def test_bad_data_is_listed_and_the_batch_fits(trainer, data, tmp_path, capsys):
    content = json.loads(data["train"].read_text())
    content["images"][0]["file_name"] = "absent.png"
    for entry in content["annotations"][2:4]:  # of the second image
        entry["iscrowd"] = 1
    few = json.loads(data["val"].read_text())
    few["annotations"] = few["annotations"][::2]  # squares
    broken = {part: tmp_path / f"{part}.json" for part in data}
    broken["train"].write_text(json.dumps(content))
    broken["val"].write_text(json.dumps(few))
    folders = {
        "images": data["train"].parent / "images",
        "val-images": data["val"].parent / "images",
    }
    options = words(broken, tmp_path / "out", 1, **folders, **own("retinanet"))
    assert trainer([*options, "--batch-size", "16", "--limit-steps", "1"]) == 0
    out = capsys.readouterr().out
    assert "train: 6 images with 12 boxes of 2 classes" in out
    assert "1 x image file missing; the first is" in out
    assert "1 x image whose boxes are all crowds: not trained on" in out
    assert "1 x class without a box, of which AP is nan: bar" in out
    assert "batch 6 instead of 16, to leave fewer images out" in out


@pytest.mark.one_backend("what the run says")
def test_crowds_alone_are_no_data(trainer, data, tmp_path, capsys):
    content = json.loads(data["train"].read_text())
    for entry in content["annotations"]:
        entry["iscrowd"] = 1
    crowds = {**data, "train": tmp_path / "crowds.json"}
    crowds["train"].write_text(json.dumps(content))
    images = data["train"].parent / "images"
    assert trainer(words(crowds, tmp_path / "out", images=images)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "error: there is no box to train on; 8 x image whose boxes are all crowds"
    )


@pytest.mark.one_backend("what the run says")
def test_poor_anchors_of_a_library_are_told(trainer, data, tmp_path, capsys, monkeypatch):
    pytest.importorskip("keras_cv")

    def stop(*_, **__):
        raise ValueError("told")

    monkeypatch.setattr("keras_pvt.training.trainer.Run", stop)
    assert trainer(words(data, tmp_path / "out", **{"anchor-size": 200})) == 1
    out, err = capsys.readouterr()
    assert "only 0% of the boxes of square fit an anchor" in out
    assert err.startswith("error: told")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--epochs 0", "--epochs must be above 0; got 0"),
        ("--smallest-scale 2", "--smallest-scale must not be above --largest-scale"),
        (
            "--size 60x96",
            "--library keras_cv needs --resize canvas and a --size of multiples of 32",
        ),
        ("--resize keep_ratio", "--library keras_cv needs --resize canvas"),
        ("--size 64x", "--size must be pixels, such as 224 or 480x640; got '64x'"),
        ("--system detr", "--system detr is of --library keras_pvt only"),
        ("--load-from boxes.keras", "--load-from is of --library keras_pvt only"),
        ("--smallest-side 900", "--smallest-side must not be above the shorter side of --size"),
        ("--drops 8;11", "--drops must be epochs such as 8,11"),
        ("--val-data= --val-split 0", "--val-data or --val-split is needed"),
        ("--data=", "--data is needed"),
    ],
)
def test_wrong_options_are_named(trainer, data, tmp_path, capsys, change, message):
    assert trainer([*words(data, tmp_path / "out"), *change.split()]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "history.csv").exists()


def test_errors_are_one_line(trainer, data, tmp_path, capsys):
    for change, message in (
        ({"data": tmp_path / "none.json"}, "No such file"),
        ({"variant": "pvt_nano", "library": "keras_cv"}, "levels P3 to P5"),
        ({"weights": tmp_path / "none.pth"}, "none.pth"),
    ):
        assert trainer(words(data, tmp_path / "out", **change)) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert message in line
    assert not (tmp_path / "out" / "history.csv").exists()


@pytest.mark.parametrize("part", ["", "val-"])
def test_a_folder_in_place_of_a_json_file(trainer, data, tmp_path, capsys, part):
    photos = data["train"].parent / "images"
    assert trainer(words(data, tmp_path / "out", **{f"{part}data": photos})) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{photos} is no JSON in COCO's format, which --images and --val-images are for" in line
