"""The results of `keras-pvt batch` are those of the commands, to the bit."""

import argparse
import json

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import V2, perturb
from PIL import Image
from test_detect_command import red_finder  # noqa: F401, a fixture
from test_segment_command import CLASSES, segmenter  # noqa: F401, a fixture

import keras_pvt
from keras_pvt.batch import Job, options
from keras_pvt.batch.job import ROWS
from keras_pvt.batch.tasks import BATCH_SIZES
from keras_pvt.batch.tasks.embed import encoder_of
from keras_pvt.batch.tasks.segment import run_lengths
from keras_pvt.classification import FileClassifier
from keras_pvt.cli import batch as command
from keras_pvt.cli import main
from keras_pvt.detection import Detector
from keras_pvt.segmentation import Predictor, SemanticFPN
from keras_pvt.segmentation.trained import TrainedSegmenter

pytestmark = pytest.mark.one_backend("compares two ways to the same answers", full=True)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Seven images of unequal sizes, one that is turned, and a file that is none."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(11)
    for number in range(7):
        low = rng.integers(0, 256, (6, 5, 3), "uint8")
        image = Image.fromarray(low).resize((70 + 9 * number, 60), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[274] = 6 if number == 3 else 1
        image.save(folder / f"{number}.png", exif=exif)
    (folder / "0b.jpg").write_bytes(b"none")
    return folder


def rows_of(out):
    return pq.read_table(str(out)).sort_by("id").to_pylist()


def test_classes_are_those_of_predict(photos, tmp_path, capsys):
    words = ["--variant", "pvt_nano", "--top", "3", "--engine", "keras", "--batch-size", "3"]
    assert main(["predict", str(photos), *words, "--json"]) == 1
    lines = capsys.readouterr().out.splitlines()
    expected = {
        line["image"].rpartition("/")[2]: line["predictions"] for line in map(json.loads, lines)
    }
    out = tmp_path / "out"
    # The file that is none takes a place in its batch in both.
    assert main(["batch", "classify", str(photos), "--out", str(out), *words, "--rows", "6"]) == 1
    rows = rows_of(out)
    assert {row["id"] for row in rows if row["error"] is not None} == {"0b.jpg"}
    found = {
        row["id"]: [
            {"id": id_, "name": name, "probability": value}
            for id_, name, value in zip(
                row["class_ids"], row["classes"], row["probabilities"], strict=True
            )
        ]
        for row in rows
        if row["error"] is None
    }
    assert found == expected


@pytest.mark.parametrize(("pooling", "of_encoder"), [("head", "token"), ("avg", "avg")])
def test_embeddings_are_those_of_the_headless_model(pooling, of_encoder, photos, tmp_path):
    out = tmp_path / "out"
    options = {"pooling": pooling, "engine": "keras", "batch_size": 3}
    assert Job("embed", "pvt_nano", photos, out, **options).run().failed == 1
    encoder = keras_pvt.PVTNano(
        weights="cifar10",
        include_top=False,
        pooling=of_encoder,
        input_shape=(32, 32, 3),
        include_preprocessing=True,
    )
    crop = FileClassifier.load("pvt_nano").crop
    rows = rows_of(out)
    # The same places in the same batches, as the last bits depend on them.
    for start in range(0, len(rows), 3):
        whole = [row for row in rows[start : start + 3] if row["error"] is None]
        batch = np.zeros((3, 32, 32, 3), "uint8")
        batch[: len(whole)] = [crop(photos / row["id"]) for row in whole]
        wanted = encoder.predict_on_batch(batch).astype("float16")
        found = np.array([row["embedding"] for row in whole], "float16")
        np.testing.assert_array_equal(found, wanted[: len(whole)])


def test_embeddings_of_pvt_v2(rng):
    """It has no class token: the head sees the mean."""
    model = keras_pvt.classifier(V2, include_preprocessing=True)
    perturb(model)
    images = rng.integers(0, 256, (2, 64, 64, 3), "uint8")
    features = keras.Model(model.input, model.get_layer("head").input)
    for pooling in ("head", "avg"):
        found = encoder_of(model, pooling).predict_on_batch(images)
        np.testing.assert_array_equal(found, features.predict_on_batch(images))
    with pytest.raises(ValueError, match="no class token"):
        encoder_of(model, "token")


def test_boxes_are_those_of_detect(red_finder, tmp_path):  # noqa: F811
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, (box, size) in enumerate(
        [((30, 50, 130, 190), (300, 200)), ((1, 2, 9, 9), (48, 32))]
    ):
        picture = Image.new("RGB", size, (60 + 30 * number, 60, 60))
        if number == 0:
            picture.paste((255, 0, 0), box)
        picture.save(photos / f"{number}.png")
    (photos / "x.jpg").write_bytes(b"")
    path = tmp_path / "finder.keras"
    red_finder.save(path)
    out = tmp_path / "out"
    assert Job("detect", path, photos, out, engine="keras", threshold=0.9).run().failed == 1
    detector = Detector.load(path)
    *wanted, _ = [one.above(0.9) for one in detector.detect(sorted(photos.iterdir()), 3)]
    *rows, broken = rows_of(out)
    assert broken["boxes"] is None
    assert [len(row["boxes"]) for row in rows] == [1, 0]
    for row, one in zip(rows, wanted, strict=True):
        assert row["boxes"] == one.boxes.tolist()
        assert row["scores"] == one.scores.tolist()
        assert row["classes"] == ["rose"] * len(one.boxes)
        assert (row["height"], row["width"]) == one.size


@pytest.mark.parametrize("masks", ["png", "rle"])
def test_masks_are_those_of_segment(masks, segmenter, photos, tmp_path):  # noqa: F811
    out, drawn = tmp_path / "out", tmp_path / "drawn"
    words = ["--model", segmenter, "--engine", "keras"]
    assert main(["segment", str(photos), *words, "--out", str(drawn), "--labels"]) == 1
    words += ["--masks", masks, "--rows", "3"]
    assert main(["batch", "segment", str(photos), *words, "--out", str(out)]) == 1
    rows = [row for row in rows_of(out) if row["error"] is None]
    assert len(rows) == 7
    for row in rows:
        wanted = np.asarray(Image.open(drawn / "labels" / row["id"]))
        assert wanted.shape == (row["height"], row["width"])
        if masks == "png":
            found = np.asarray(Image.open(io_of(row["png"])))
        else:
            found = np.repeat(row["values"], row["lengths"]).reshape(wanted.shape)
        np.testing.assert_array_equal(found, wanted)
    assert len({tuple(row["lengths"]) if masks == "rle" else row["png"] for row in rows}) == 7


def io_of(content):
    import io

    return io.BytesIO(content)


def test_run_lengths():
    found = run_lengths(np.array([[2, 2, 0], [0, 1, 1]], "uint8"))
    assert found["values"].tolist() == [2, 0, 1]
    assert found["lengths"].tolist() == [2, 2, 2]


def test_a_segmenter_of_this_package_with_its_options(photos, tmp_path):
    backbone = keras_pvt.PVTBackbone(V2, input_shape=(None, None, 3))
    model = SemanticFPN(backbone, 3, neck_width=8, head_width=8)
    perturb(model)
    path = tmp_path / "segmenter.keras"
    TrainedSegmenter(model, CLASSES, 64).save(path)
    settings = {"scales": [0.5, 1.0], "flip": True}
    options = {"masks": "rle", "engine": "keras", "segmenter": settings}
    assert Job("segment", path, photos, tmp_path / "out", **options).run().done == 8
    predictor = Predictor(TrainedSegmenter.load(path).model, short_side=64, **settings)
    row = rows_of(tmp_path / "out")[2]
    labels = predictor.labels(keras_pvt.load_image(photos / row["id"]))
    assert len(row["values"]) > 1
    np.testing.assert_array_equal(
        np.repeat(row["values"], row["lengths"]).reshape(labels.shape), labels
    )
    # It goes on: options that JSON holds otherwise are the same.
    assert Job("segment", path, photos, tmp_path / "out", **options).run().skipped == 8


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["detect", "--out", "o"], "detect needs --model"),
        (["classify", "--out", "o", "--model", "m.keras", "--variant", "pvt_tiny"], "not both"),
        (["classify", "--out", "o", "--variant", "pvt_nano", "--weights", "none"], "each worker"),
        (["classify", "--out", "o", "--workers", "2", "--address", "local"], "workers need Ray"),
        (["classify", "--out", "o", "--sorted", "no/all.parquet"], "there is no folder"),
    ],
)
def test_wrong_words(words, told, photos, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task, *options = words
    assert main(["batch", task, str(photos), *options]) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "task", "wrong"),
    [
        (["--out", "embed", "classify", "photos"], "classify", ["--pooling", "token"]),
        (["--out", "embed", "--json", "classify", "photos"], "classify", ["--pooling", "token"]),
        (["--id", "classify", "--out", "x", "embed", "photos"], "embed", ["--top", "3"]),
        (["--out=classify", "segment", "detect"], "segment", ["--threshold", "0.3"]),
    ],
)
def test_options_are_those_of_the_task_whatever_else_has_its_name(words, task, wrong):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.add_arguments_for(parser, [*words, *wrong])
    found, unknown = parser.parse_known_args([*words, *wrong])
    assert (found.task, unknown) == (task, wrong)


def test_the_words_of_the_command_are_those_of_a_job():
    """Which it has by itself, as its help imports no NumPy."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    command.add_arguments_for(parser, [])
    words = {action.dest: action.choices for action in parser._actions if action.choices}
    segment = argparse.ArgumentParser()
    command.add_arguments(segment)
    command.add_arguments_for(segment, ["segment"])
    flags = {one.option_strings[-1] for one in segment._actions if one.nargs == 0}
    assert flags - {"--help"} == {*command.FLAGS} - {"--traceback"}
    assert words["task"] == options.TASKS == tuple(BATCH_SIZES) == tuple(ROWS)
    assert words["pooling"] == options.POOLINGS
    assert words["masks"] == options.MASKS


def test_a_stop_says_how_to_go_on(photos, tmp_path, capsys, monkeypatch):
    words = ["batch", "classify", str(photos), "--out", str(tmp_path / "out"), "--engine", "keras"]

    def raises(error):
        def run(*_):
            raise error

        return run

    monkeypatch.setattr(Job, "run", raises(KeyboardInterrupt()))
    assert main(words) == 130
    assert "stopped; the same command goes on from here" in capsys.readouterr().err
    monkeypatch.setattr(Job, "run", raises(RuntimeError("a worker failed.")))
    assert main(words) == 1
    error = capsys.readouterr().err
    assert error == "error: a worker failed. The same command goes on from here.\n"


def test_counts_on_stderr_and_a_sorted_file(photos, tmp_path, capsys):
    words = ["batch", "classify", str(photos), "--out", str(tmp_path / "out"), "--json"]
    words += ["--variant", "pvt_nano", "--sorted", str(tmp_path / "all.parquet"), "--rows", "3"]
    assert main([*words, "--engine", "keras"]) == 1
    output, errors = capsys.readouterr()
    counts = json.loads(output)
    assert (counts["done"], counts["skipped"], counts["failed"]) == (8, 0, 1)
    assert "8 done, 0 skipped, 1 failed" in errors
    assert "error: 1 images could not be read" in errors
    ids = pq.read_table(tmp_path / "all.parquet").column("id").to_pylist()
    assert ids == sorted(path.name for path in photos.iterdir())
