"""The detector example: training, resuming, its file, and `keras-pvt detect`."""

import csv
import json
import pathlib

import keras
import numpy as np
import pytest
from conftest import TINY
from detection_data import CLASSES, HEIGHT, WIDTH, write_set
from PIL import Image
from scripts import load_script

from keras_pvt import training
from keras_pvt.cli import main as command
from keras_pvt.detection.detector import Detector
from keras_pvt.variants import VARIANTS

COUNTS = {"train": 8, "val": 4}  # four batches: an order of their own would show


@pytest.fixture(scope="module", autouse=True)
def _compile_once(tmp_path_factory):
    """Each run compiles the same functions; JAX keeps them, which saves most of the time."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    folder = str(tmp_path_factory.mktemp("compiled"))
    options = {
        "jax_compilation_cache_dir": folder,
        "jax_persistent_cache_min_compile_time_secs": 0.1,
    }
    before = {name: getattr(jax.config, name) for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


@pytest.fixture(scope="module")
def trainer():
    module = load_script("examples/train_detector.py")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VARIANTS, "tiny", TINY)
        yield module


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
        "canvas-height": HEIGHT,
        "canvas-width": WIDTH,
        **options,
    }
    named = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return ["retinanet_bccd", *named]


# Of this package, small enough for tests; what DETR and Mask R-CNN learn has tests of its own.
OWN = {
    "retinanet": {"neck-width": 16, "head-depth": 1},
    "mask_rcnn": {"neck-width": 16, "canvas-height": 0, "canvas-width": 0, "short-side": 64},
    "detr": {"neck-width": 16, "depth": 1, "num-queries": 12},
}


def own(model, **options):
    return {"library": "keras_pvt", "model": model, **OWN[model], **options}


@pytest.fixture(scope="module")
def run(trainer, data, tmp_path_factory):
    """The folder of a run that was not stopped."""
    out = tmp_path_factory.mktemp("run")
    assert trainer.main(words(data, out, **own("retinanet"))) == 0
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


def test_a_stopped_run_ends_like_one_that_was_not(trainer, data, run, tmp_path, monkeypatch):
    out = tmp_path / "stopped"
    log = training.Log.on_epoch_end

    def stop(self, epoch, logs=None):
        log(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt  # after the log, before the checkpoint

    options = words(data, out, **own("retinanet"))
    with monkeypatch.context() as patch:
        patch.setattr(training.Log, "on_epoch_end", stop)
        assert trainer.main(options) == 130
    keras.utils.set_random_seed(1)
    assert trainer.main(options) == 0
    rows, wanted = (training.read_history(folder / "history.csv") for folder in (out, run))
    assert [row["epoch"] for row in rows] == [0, 1]
    for name in ("loss", "AP"):
        assert [row[name] for row in rows] == [row[name] for row in wanted]
    ours, theirs = (
        Detector.load(folder / "detector.keras").model.get_weights() for folder in (out, run)
    )
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b)  # on a CPU, to the bit


def test_the_file_has_what_detecting_needs(run, data):
    detector = Detector.load(run / "detector.keras")
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


@keras.saving.register_keras_serializable(package="tests")
class RedFinder(keras.layers.Layer):
    """Stands in for a detector: the extent of what is red in each image."""

    def call(self, images):
        ops = keras.ops
        red = ops.logical_and(images[..., 0] > 200, images[..., 1] < 90)
        ends = []
        for sides in (ops.any(red, axis=1), ops.any(red, axis=2)):  # columns, rows
            first = ops.argmax(ops.cast(sides, "int32"), axis=1)
            last = ops.argmax(ops.cast(ops.flip(sides, axis=1), "int32"), axis=1)
            ends.append((first, sides.shape[1] - last))
        (x1, x2), (y1, y2) = ends
        boxes = ops.cast(ops.stack([x1, y1, x2, y2], axis=-1), "float32")[:, None]
        return {
            "boxes": boxes,
            "confidence": ops.ones_like(boxes[..., 0]),
            "classes": ops.zeros_like(boxes[..., 0], dtype="int32"),
            "num_detections": ops.ones_like(x1),
        }


@pytest.fixture(scope="module")
def red_finder():
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    return Detector(keras.Model(inputs, RedFinder()(inputs)), "keras_cv", ["rose"], (HEIGHT, WIDTH))


BOXES = [[30, 50, 130, 190], [200, 10, 260, 60], [1, 2, 41, 30]]
SIZES = [(300, 200), (300, 500), (48, 32)]  # wider, higher and smaller than the model's


@pytest.fixture
def photos(tmp_path):
    """A folder with a red rectangle in each image, and a damaged file."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, (box, size) in enumerate(zip(BOXES, SIZES, strict=True)):
        picture = Image.new("RGB", size, "gray")
        picture.paste((255, 0, 0), tuple(box))
        picture.save(folder / f"{number}.png")
    (folder / "1b.jpg").write_bytes(b"damaged")
    return folder


def check_boxes(found):
    """They are where the rectangles are, but for a pixel of the model."""
    for boxes, box, size in zip(found, BOXES, SIZES, strict=True):
        pixel = max(size[0] / WIDTH, size[1] / HEIGHT)
        np.testing.assert_allclose(boxes, [box], atol=pixel)


def test_boxes_are_in_pixels_of_the_file(red_finder, photos):
    files = sorted(photos.iterdir())
    found = list(red_finder.detect(files, batch_size=2))
    assert [one.path for one in found] == files
    assert [one.path.name for one in found if one.error] == ["1b.jpg"]
    check_boxes([one.boxes for one in found if one.error is None])


def test_detect_draws_and_lists(red_finder, photos, tmp_path, capsys):
    red_finder.save(tmp_path / "red.keras")
    options = ["--model", str(tmp_path / "red.keras"), "--out"]
    out = tmp_path / "out"
    assert command(["detect", str(photos), *options, str(out), "--json"]) == 1
    output, errors = capsys.readouterr()
    assert "1b.jpg" in errors
    assert errors.splitlines()[-1] == "error: 1 of 4 images could not be read"
    entries = json.loads(output)
    names = ["0.png", "1.png", "2.png"]
    assert [entry["image_id"] for entry in entries] == names
    assert {(entry["category"], entry["category_id"], entry["score"]) for entry in entries} == (
        {("rose", 1, 1)}
    )
    corners = [(x, y, x + w, y + h) for x, y, w, h in (entry["bbox"] for entry in entries)]
    check_boxes([[box] for box in corners])
    assert sorted(file.name for file in out.iterdir()) == names
    drawn = np.asarray(Image.open(out / "0.png")).astype(int)
    changed = abs(drawn - np.asarray(Image.open(photos / "0.png"))).max(axis=-1) > 0
    assert changed[120, 28:34].any()  # the left edge
    assert not changed[80:180, 40:120].any()  # not what is inside
    assert not changed[:, 200:].any()


def test_json_has_the_ids_of_the_annotations(red_finder, photos, tmp_path, capsys):
    """What pycocotools takes as results."""
    coco = pytest.importorskip("pycocotools.coco")
    red_finder.save(tmp_path / "red.keras")
    names = ["0.png", "1.png", "2.png"]
    content = {
        "info": {},
        "images": [
            {"id": 7 * n, "file_name": f"photos/{name}", "height": size[1], "width": size[0]}
            for n, (name, size) in enumerate(zip(names, SIZES, strict=True), 5)
        ],
        "annotations": [],
        "categories": [{"id": 3, "name": "tulip"}, {"id": 41, "name": "rose"}],
    }
    annotations = tmp_path / "set.json"
    annotations.write_text(json.dumps(content))
    options = ["--model", str(tmp_path / "red.keras"), "--out", str(tmp_path / "out"), "--json"]
    files = [str(photos / name) for name in names]
    assert command(["detect", *files, *options, "--annotations", str(annotations)]) == 0
    (tmp_path / "results.json").write_text(capsys.readouterr().out)
    results = coco.COCO(annotations).loadRes(str(tmp_path / "results.json"))
    assert [entry["image_id"] for entry in results.anns.values()] == [35, 42, 49]
    assert {entry["category_id"] for entry in results.anns.values()} == {41}

    content["categories"].pop()
    annotations.write_text(json.dumps(content))
    assert command(["detect", *files, *options, "--annotations", str(annotations)]) == 1
    assert "has no category rose" in capsys.readouterr().err


def test_detect_decodes_an_image_once(red_finder, photos, tmp_path, monkeypatch):
    red_finder.save(tmp_path / "red.keras")
    decode, seen = Image.open, []

    def count(file, *args, **kwargs):
        seen.append(file.name)
        return decode(file, *args, **kwargs)

    monkeypatch.setattr(Image, "open", count)
    options = ["--model", str(tmp_path / "red.keras"), "--out", str(tmp_path / "out")]
    assert command(["detect", str(photos), *options]) == 1
    assert sorted(seen) == sorted(map(str, photos.iterdir()))


def test_pictures_never_replace_photos(red_finder, photos, tmp_path, capsys):
    red_finder.save(tmp_path / "red.keras")
    file = photos / "0.png"
    before = file.read_bytes()
    options = ["--model", str(tmp_path / "red.keras"), "--out", str(photos)]
    assert command(["detect", str(file), *options]) == 0
    ((path, name, score, *box),) = [
        line.split("\t") for line in capsys.readouterr().out.splitlines()
    ]
    assert (path, name, float(score)) == (str(file), "rose", 1)
    np.testing.assert_allclose([float(value) for value in box], BOXES[0], atol=3.2)
    assert file.read_bytes() == before
    assert (photos / "0-2.png").exists()


def test_detect_refuses_other_files(tmp_path, data, capsys):
    image = str(data["val"].parent / "images" / "0.png")
    (tmp_path / "m.keras").write_bytes(b"not a model")
    for words_, message in (
        ([str(tmp_path / "none.png"), "--model", "m"], "there is no file or folder"),
        ([image, "--model", str(tmp_path / "none.keras")], "No such file"),
        ([image, "--model", str(tmp_path / "m.keras")], "is no detector that"),
    ):
        assert command(["detect", *words_]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
    assert not pathlib.Path("detections").exists()


@pytest.mark.one_backend  # test_ecosystem.py trains them on each
@pytest.mark.parametrize("library", ["keras_cv", "keras_hub"])
def test_training_with_other_libraries(trainer, data, tmp_path, library):
    pytest.importorskip(library)
    options = words(data, tmp_path / "run", epochs=1, library=library)
    assert trainer.main([*options, "--mixed-precision", "bfloat16", "--flip-y"]) == 0
    (row,) = training.read_history(tmp_path / "run" / "history.csv")
    assert np.isfinite(row["loss"])
    detector = Detector.load(tmp_path / "run" / "detector.keras")
    assert (detector.library, detector.size) == (library, (HEIGHT, WIDTH))
    files = [data["val"].parent / "images" / "2.png"]
    assert next(detector.detect(files, 2)).error is None


@pytest.mark.one_backend  # test_detr.py trains it on each
def test_training_detr(trainer, data, tmp_path):
    options = words(data, tmp_path / "run", epochs=4, **own("detr", **{"learning-rate": 1e-3}))
    assert trainer.main([*options, "--evaluate-every", "4", "--backbone-rate", "0.1"]) == 0
    rows = training.read_history(tmp_path / "run" / "history.csv")
    assert rows[3]["loss"] < rows[0]["loss"]
    detector = Detector.load(tmp_path / "run" / "detector.keras")
    (found,) = detector.detect([data["val"].parent / "images" / "2.png"], 2)
    assert len(found.boxes) == OWN["detr"]["num-queries"]


@pytest.mark.one_backend  # test_mask_rcnn_losses.py has what it learns by on each
def test_training_mask_rcnn(trainer, masked, tmp_path):
    own_options = own("mask_rcnn", **{"learning-rate": 1e-3, "evaluate-every": 3})
    options = words(masked, tmp_path / "run", epochs=3, **own_options)
    assert trainer.main([*options, "--smallest-scale", "1"]) == 0
    rows = training.read_history(tmp_path / "run" / "history.csv")
    assert rows[2]["loss"] < rows[0]["loss"]
    assert 0 <= rows[2]["mask_AP50"] <= 1
    detector = Detector.load(tmp_path / "run" / "detector.keras")
    (found,) = detector.detect([masked["val"].parent / "images" / "2.png"], 2)
    assert found.masks.shape == (len(found.boxes), 28, 28)
    assert found.mask(0).shape == (HEIGHT, WIDTH)


def test_images_of_unequal_sizes_are_found_as_each_alone(run, tmp_path, rng):
    """Together in a batch, though their canvases differ."""
    for number, size in enumerate(((96, 64), (64, 96), (200, 50), (96, 70))):
        pixels = rng.integers(0, 255, (*size, 3)).astype("uint8")
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    files = sorted(tmp_path.iterdir())
    detector = Detector.load(run / "detector.keras")
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


def test_bad_data_is_listed_and_poor_anchors_too(trainer, data, tmp_path, capsys):
    content = json.loads(data["train"].read_text())
    content["images"][0]["file_name"] = "absent.png"
    broken = {**data, "train": tmp_path / "broken.json"}
    broken["train"].write_text(json.dumps(content))
    images = data["train"].parent / "images"
    options = words(broken, tmp_path / "out", images=images, **{"anchor-size": 200})
    assert trainer.main([*options, "--batch-size", "16"]) == 1
    out, err = capsys.readouterr()
    assert "train: 7 images with 14 boxes of 2 classes" in out
    assert "1 x image file missing; the first is" in out
    assert err == "error: 7 training images make no batch of 16\n"


def test_poor_anchors_of_a_library_are_told(trainer, data, tmp_path, capsys, monkeypatch):
    pytest.importorskip("keras_cv")

    def stop(*_, **__):
        raise ValueError("told")

    monkeypatch.setattr("keras_pvt.detection.train.Run", stop)
    assert trainer.main(words(data, tmp_path / "out", **{"anchor-size": 200})) == 1
    out, err = capsys.readouterr()
    assert "only 0% of the boxes of square fit an anchor" in out
    assert err == "error: told\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--epochs 0", "--epochs must be above 0; got 0"),
        ("--smallest-scale 2", "--smallest-scale must not be above --largest-scale"),
        ("--canvas-height 60", "--library keras_cv needs --canvas-height and --canvas-width"),
        ("--canvas-width 0", "--canvas-height and --canvas-width belong together"),
        ("--model detr", "--model detr is of --library keras_pvt only"),
        ("--short-side-least 900", "--short-side-least must not be above --short-side"),
        ("--drops 8;11", "--drops must be epochs such as 8,11"),
        ("--val-data=", "--val-data is needed"),
        ("--data=", "--data is needed"),
    ],
)
def test_wrong_options_are_named(trainer, data, tmp_path, capsys, change, message):
    assert trainer.main([*words(data, tmp_path / "out"), *change.split()]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "history.csv").exists()


def test_errors_are_one_line(trainer, data, tmp_path, capsys):
    for change, message in (
        ({"data": tmp_path / "none.json"}, "No such file"),
        ({"variant": "pvt_nano", "library": "keras_cv"}, "levels P3 to P5"),
        ({"weights": tmp_path / "none.pth"}, "none.pth"),
    ):
        assert trainer.main(words(data, tmp_path / "out", **change)) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert message in line
    assert not (tmp_path / "out" / "history.csv").exists()
