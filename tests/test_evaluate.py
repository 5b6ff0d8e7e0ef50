"""What `keras-pvt evaluate` measures, against values worked out by hand, and what it says."""

import json
import math
import pathlib
import shutil
import sys
import types

import keras
import numpy as np
import pytest
from conftest import TINY, perturb
from PIL import Image

import keras_pvt
from keras_pvt import evaluation
from keras_pvt.classification.file_predictions import CropClassifier
from keras_pvt.cli import main
from keras_pvt.detection.data.samples import DetectionSet, Sample
from keras_pvt.detection.results import Detections
from keras_pvt.evaluation.classification import ClassifierEvaluation
from keras_pvt.evaluation.detection import DetectorEvaluation, open_set, pairs
from keras_pvt.evaluation.named import Named
from keras_pvt.evaluation.report import Report
from keras_pvt.evaluation.segmentation import SegmenterEvaluation
from keras_pvt.exporting.facts import Facts
from keras_pvt.exporting.subject import named
from keras_pvt.segmentation import SemanticFPN
from keras_pvt.segmentation.data.samples import LabelRule, SegmentationSet
from keras_pvt.segmentation.trained import TrainedSegmenter
from keras_pvt.utils.data_report import DataReport

pytestmark = pytest.mark.one_backend("of NumPy, and of what each backend gives elsewhere")

SIDE = 8
NAMES = tuple((f"n{n:08}", name) for n, name in enumerate(("great_owl", "wren", "kite", "tern")))


class Pictures:
    """Labelled images of one colour each, which is their number; None stands for a broken one."""

    def __init__(self, labels, classes=("great owl", "wren", "kite", "tern")):
        self.labels, self.classes = labels, classes

    def __len__(self):
        return len(self.labels)

    def label(self, number):
        return self.labels[number]

    def name(self, number):
        return f"{number}.png"

    def read(self, number):
        if self.labels[number] is None:
            raise OSError("it is broken")
        return np.full((11, 9, 3), number, "uint8")


class Scores:
    """A model that gives the row of a table that the colour of an image tells."""

    def __init__(self, scores):
        self.scores = np.array(scores, "float32")

    def predict_on_batch(self, images):
        return self.scores[images[:, 0, 0, 0].astype(int)]


def measured(scores, labels, logits=False, batch_size=2, **changes):
    model = CropClassifier(Scores(scores), SIDE, SIDE, NAMES, logits)
    work = ClassifierEvaluation(model, Pictures(labels, **changes), batch_size)
    return work, work.run("model", "data")


TABLE = [
    [0.6, 0.2, 0.1, 0.1],  # right
    [0.1, 0.3, 0.5, 0.1],  # wren taken for kite
    [0.3, 0.3, 0.2, 0.2],  # wren: of two that are alike the first counts
    [0.0, 0.0, 0.0, 1.0],  # owl, which it is sure is none
    [0.2, 0.7, 0.0, 0.1],  # right
]
TRUTH = [0, 1, 1, 0, 1]


def test_a_classifier_is_measured():
    work, report = measured(TABLE, TRUTH)
    assert report.numbers["top1"] == pytest.approx(2 / 5)
    assert "top5" not in report.numbers
    assert report.numbers["mean_class"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    losses = -np.log([0.6, 0.3, 0.3, 1e-12, 0.7])
    assert report.numbers["log_loss"] == pytest.approx(losses.mean(), rel=1e-6)
    # Each lies in a range of its own: 0.6, 0.5, 0.3, 1 and 0.7 of 15.
    gaps = [1 - 0.6, 0.5, 0.3, 1.0, 1 - 0.7]
    assert report.numbers["calibration_error"] == pytest.approx(np.mean(gaps), rel=1e-6)
    assert report.matrix.tolist() == [[1, 0, 0, 1], [1, 1, 1, 0], [0] * 4, [0] * 4]
    assert report.labels == ("great_owl", "wren", "kite", "tern")
    assert [one.name for one in report.worst] == ["3.png", "1.png", "2.png"]
    assert report.worst[0].note == "great_owl, not tern (100%)"
    assert report.confused(1) == [("great_owl", "tern", 1)]
    assert sum(count for count, _, _ in report.curve) == report.images == 5
    assert work.draw("3.png").width == 320


def test_calibration_compares_what_lies_in_one_range():
    scores = [[0.6, 0.2, 0.1, 0.1]] * 3 + [[1.0, 0.0, 0.0, 0.0]]
    _, report = measured(scores, [0, 0, 1, 0])
    expected = (3 * (2 / 3 - 0.6) + 1 * 0) / 4
    assert report.numbers["calibration_error"] == pytest.approx(expected, rel=1e-6)


def test_logits_become_probabilities():
    _, report = measured(np.log(np.maximum(TABLE, 1e-9)), TRUTH, logits=True)
    _, other = measured(TABLE, TRUTH)
    assert report.numbers["top1"] == other.numbers["top1"]
    shared = ("mean_class", "calibration_error")
    for name in shared:
        assert report.numbers[name] == pytest.approx(other.numbers[name], abs=1e-6)


def test_top5_counts_the_fifth_and_not_the_sixth():
    scores = np.tile(np.arange(8)[::-1] / 28.0, (3, 1))
    names = tuple((str(n), str(n)) for n in range(8))
    model = CropClassifier(Scores(scores), SIDE, SIDE, names)
    images = Pictures([0, 4, 5], tuple(map(str, range(8))))
    numbers = ClassifierEvaluation(model, images, 4).run("m", "d").numbers
    assert numbers["top1"] == pytest.approx(1 / 3)
    assert numbers["top5"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        (("Kite", "wren"), [2, 1]),
        (("n00000002", "n00000001"), [2, 1]),
        (("great owl", "tern"), [0, 3]),
    ],
)
def test_folders_are_called_by_names_or_ids(classes, labels):
    _, report = measured(np.eye(4)[labels], [0, 1], classes=classes)
    assert report.numbers["top1"] == 1


def test_what_cannot_be_measured():
    with pytest.raises(ValueError, match="does not have the data's classes emu, rhea; it has 4"):
        measured(TABLE, TRUTH, classes=("wren", "emu", "rhea"))
    with pytest.raises(ValueError, match="none of 2 images"):
        measured(TABLE, [None, None])
    _, report = measured(TABLE, [0, None, 1])
    assert report.images == 2
    assert report.left_out == ["1.png: it is broken"]


def sample(boxes, labels, crowd=None, path="image.png"):
    boxes = np.array(boxes, "float32").reshape(-1, 4)
    crowd = np.zeros(len(boxes), bool) if crowd is None else np.array(crowd, bool)
    labels = np.array(labels, "int32")
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    return Sample(pathlib.Path(path), 40, 60, boxes, labels, areas, crowd)


def found(boxes, scores, labels, path="image.png"):
    boxes = np.array(boxes, "float32").reshape(-1, 4)
    return Detections(pathlib.Path(path), boxes, np.array(scores), np.array(labels, int))


def test_objects_and_boxes_are_paired_once_the_best_first():
    truth = sample([[0, 0, 10, 10], [20, 0, 30, 10], [0, 20, 60, 40]], [0, 1, 0], [0, 0, 1])
    boxes = [
        [20, 0, 30, 10],  # of the second, and of another class
        [0, 1, 10, 11],  # of the first: IoU 0.82
        [0, 0, 10, 10],  # of the first as well, which has one
        [0, 0, 10, 4],  # IoU 0.4
        [10, 25, 30, 35],  # in the crowd
    ]
    what = found(boxes, [0.9, 0.8, 0.7, 0.6, 0.55], [0, 0, 0, 1, 0])
    true, guessed = pairs(truth, what)
    assert list(zip(true.tolist(), guessed.tolist(), strict=True)) == [
        (1, 0), (0, 0), (-1, 0), (-1, 1),
    ]  # fmt: skip
    true, guessed = pairs(truth, found([], [], []))
    assert (true.tolist(), guessed.tolist()) == ([0, 1], [-1, -1])


def test_a_detector_is_measured(tmp_path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (60, 40)).save(tmp_path / name)
    first, second = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    samples = [
        sample([[0, 0, 10, 10]], [0], path=first),
        sample([[5, 5, 25, 25]], [1], path=second),
    ]
    answers = {
        first: found([[0, 0, 10, 10], [30, 30, 40, 40]], [0.9, 0.3], [0, 0], first),
        second: found([[40, 0, 50, 10]], [0.8], [1], second),
    }
    data = DetectionSet(["x", "y"], samples, DataReport())
    work = DetectorEvaluation(lambda paths: (answers[str(path)] for path in paths), data)
    report = work.run("m", "d")
    assert report.numbers["AP50"] == pytest.approx(0.5)
    assert report.labels == ("x", "y", "nothing")
    assert report.matrix.tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    (worst,) = report.worst
    assert worst.name == second
    assert worst.note == "F1 0.00: 0 right, 1 missed or of another class, 1 wrong"
    files = report.write(tmp_path / "out", work.draw)
    assert [file.name for file in files] == [
        "report.json", "confusion.csv", "confusion.png", "worst.png",
    ]  # fmt: skip
    assert (tmp_path / "out" / "confusion.csv").read_text().splitlines()[2] == "y,0,0,1"
    said = json.loads((tmp_path / "out" / "report.json").read_text())
    assert said["numbers"]["AP_L"] is None
    assert math.isnan(report.numbers["AP_L"])


def test_the_worst_image_of_a_detector_comes_first():
    truth = [sample([[0, 0, 10, 10], [20, 0, 30, 10]], [0, 1], path=name) for name in "abc"]
    answers = {
        "a": found([[0, 0, 10, 10], [20, 0, 30, 10]], [0.9, 0.8], [0, 1], "a"),
        "b": found([[0, 0, 10, 10]], [0.9], [0], "b"),
        "c": found([[40, 0, 50, 10]], [0.9], [0], "c"),
    }
    data = DetectionSet(["x", "y"], truth, DataReport())
    work = DetectorEvaluation(lambda paths: (answers[str(path)] for path in paths), data)
    worst = work.run("m", "d").worst
    assert [(one.name, one.value) for one in worst] == [("c", 1), ("b", pytest.approx(1 / 3))]


class Pairs:
    def __init__(self, rng):
        self.images = rng.integers(0, 256, (3, 9, 13, 3), "uint8")
        self.all = rng.integers(0, 3, (3, 9, 13))
        self.all[1, :4] = 255

    def __len__(self):
        return 3

    def name(self, number):
        return f"{number}"

    def image(self, number):
        return self.images[number]

    def ids(self, number):
        return self.all[number].astype("uint8")


def test_a_segmenter_is_measured(rng):
    source = Pairs(rng)
    data = SegmentationSet(source, range(3), ("a", "b", "c"), LabelRule(), DataReport())

    class Shifted:
        """Right in the first image; one more, of 3, in a row of the second and all of the third."""

        num_classes = 3

        def labels(self, image):
            number = next(n for n in range(3) if (source.images[n] == image).all())
            labels = source.all[number] % 255
            wrong = {0: slice(0), 1: slice(-1, None), 2: slice(None)}[number]
            labels[wrong] = (labels[wrong] + 1) % 3
            return labels

    work = SegmenterEvaluation(Shifted(), data)
    report = work.run("m", "d")
    counted = [9 * 13, 5 * 13, 9 * 13]
    assert report.matrix.sum() == sum(counted)
    assert report.numbers["pixel_accuracy"] == pytest.approx((9 + 4) * 13 / sum(counted))
    assert [one.name for one in report.worst] == ["2", "1"]
    assert report.worst[0].value == 1  # by 1 - mIoU
    assert report.images == 3
    assert work.draw("1").width == 640


@pytest.fixture
def birds(tmp_path, rng):
    """Class folders of noise, and a classifier of them."""
    for name in ("kite", "wren"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(2):
            picture = Image.fromarray(rng.integers(0, 256, (40, 50, 3), "uint8"))
            picture.save(tmp_path / "data" / name / f"{number}.png")
    model = keras_pvt.classifier(TINY, classes=2, input_shape=(32, 32, 3))
    perturb(model)
    keras_pvt.save_model(model, tmp_path / "birds.keras", ["kite", "wren"])
    return tmp_path


def test_the_command(birds, capsys, monkeypatch):
    monkeypatch.chdir(birds)
    assert main(["evaluate", "birds.keras", "data"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("birds.keras on data: 4 images\ntop1 ")
    assert "report: evaluation" in err
    written = sorted(path.name for path in pathlib.Path("evaluation").iterdir())
    assert {"report.json", "confusion.csv", "confusion.png", "calibration.png"} <= set(written)
    (birds / "data" / "kite" / "x.png").write_bytes(b"nothing")
    assert main(["evaluate", "birds.keras", "data", "--json", "--out", "other"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["images"] == 4
    assert "x.png" in err
    # Named as `keras-pvt predict` answers.
    scores = {}
    model = keras_pvt.load_model("birds.keras").model
    for path in sorted((birds / "data").glob("*/[01].png")):
        crop = keras_pvt.eval_transform(path, 32, 36)[None]
        scores[path] = model.predict_on_batch(keras_pvt.preprocess_input(crop))[0]
    right = [scores[path].argmax() == (path.parent.name == "wren") for path in scores]
    assert json.loads(out)["numbers"]["top1"] == pytest.approx(np.mean(right))


def test_one_split_of_a_folder_is_measured(birds, monkeypatch):
    monkeypatch.chdir(birds)
    for split in ("train", "test"):
        shutil.copytree("data", f"parts/{split}")
    pathlib.Path("parts/train/kite/1.png").unlink()
    whole = evaluation.evaluate("birds.keras", "data")
    part = evaluation.evaluate("birds.keras", "parts")
    assert (part.data, part.images, part.numbers) == ("parts, val", 4, whole.numbers)
    part = evaluation.evaluate("birds.keras", "parts", split="train")
    assert (part.data, part.images) == ("parts, train", 3)


def test_a_set_of_tensorflow_datasets_is_measured_as_its_images(birds, capsys, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("array_record")

    class MeasuredBirds(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            classes = tfds.features.ClassLabel(names=["wren", "kite"])
            features = {"image": tfds.features.Image(), "label": classes}
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, manager):
            return {"train": self._generate_examples("1"), "test": self._generate_examples("?")}

        def _generate_examples(self, name):
            for path in (birds / "data").glob(f"*/{name}.png"):
                yield str(path), {"image": str(path), "label": path.parent.name}

    monkeypatch.chdir(birds)
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(birds / "sets"))
    reports = []
    for words in (["data"], ["measured_birds"], ["measured_birds", "--split", "train"]):
        assert main(["evaluate", "birds.keras", *words, "--json"]) == 0
        reports.append(json.loads(capsys.readouterr().out))
    folder, whole, _ = reports
    assert whole["numbers"] == pytest.approx(folder["numbers"], abs=1e-6)
    values = [[one["value"] for one in report["worst"]] for report in (whole, folder)]
    assert values[0] == pytest.approx(values[1], abs=1e-6)
    assert [one["data"] for one in reports[1:]] == ["measured_birds, val", "measured_birds, train"]
    assert [one["images"] for one in reports] == [4, 4, 2]
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    assert main(["evaluate", "birds.keras", "measured_birds"]) == 1
    assert capsys.readouterr().err.endswith(': pip install "keras-pvt[tfds]"\n')


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pvt_nano", "data"], "does not have the data's classes kite, wren"),
        (["nothing.onnx", "data"], "nothing.onnx"),
        (["birds.keras", "data", "--weights", "x"], "has its own weights"),
        (["birds.keras", "data", "--size", "64"], "takes images of 32 pixels"),
        (["birds.keras", "nowhere/"], "nowhere"),
    ],
)
def test_what_the_command_refuses(birds, monkeypatch, capsys, words, message):
    monkeypatch.chdir(birds)
    assert main(["evaluate", *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not pathlib.Path("evaluation").exists()


def test_a_backbone_gives_no_answers(tmp_path, capsys):
    backbone = keras_pvt.PVTBackbone(TINY)
    path = tmp_path / "x.safetensors"
    keras_pvt.conversion.save_checkpoint(keras_pvt.conversion.to_torch(backbone), path)
    assert main(["evaluate", str(path), "data"]) == 1
    assert "gives no answers" in capsys.readouterr().err


@pytest.mark.full("runs the converters")
@pytest.mark.parametrize("format", ["tflite", "onnx"])
def test_an_artifact_is_measured_as_its_model(birds, format, monkeypatch):
    monkeypatch.chdir(birds)
    suffix = {"tflite": "tflite", "onnx": "onnx"}[format]
    assert main(["export", "birds.keras", "--format", format]) == 0
    ours = evaluation.evaluate("birds.keras", "data")
    theirs = evaluation.evaluate(f"birds.{suffix}", "data", batch_size=3)
    assert theirs.numbers == pytest.approx(ours.numbers, abs=1e-5)
    assert (theirs.matrix == ours.matrix).all()


def test_one_class_is_enough(birds, capsys, monkeypatch):
    monkeypatch.chdir(birds)
    shutil.rmtree("data/wren")
    assert evaluation.evaluate("birds.keras", "data").images == 2
    pathlib.Path("data/kite").rename("kite")
    with pytest.raises(ValueError, match="a folder for each of its classes; it has none"):
        evaluation.evaluate("birds.keras", "data")
    pathlib.Path("data/Train").mkdir()
    pathlib.Path("kite").rename("data/Train/kite")
    with pytest.raises(ValueError, match="data has no split 'val'; it has Train"):
        evaluation.evaluate("birds.keras", "data")
    assert evaluation.evaluate("birds.keras", "data", split="train").data == "data, train"
    with pytest.raises(FileNotFoundError, match=r"no file or folder 'none.tflite'"):
        evaluation.evaluate("none.tflite", "data")


@pytest.fixture
def colours(tmp_path, monkeypatch):
    """A segmenter whose class of a pixel is its strongest colour, and an image with its labels."""
    monkeypatch.chdir(tmp_path)
    images = keras.Input((None, None, 3))
    x = keras.layers.Identity(name="preprocessing")(images)
    model = keras.Model(images, keras.layers.Conv2D(3, 1, use_bias=False)(x))
    model.set_weights([np.eye(3, dtype="float32")[None, None]])
    TrainedSegmenter(model, ["red", "dark green", "blue"]).save(tmp_path / "s.keras")
    places = np.arange(40 * 50).reshape(40, 50) // 500 % 3
    pathlib.Path("d", "images").mkdir(parents=True)
    pathlib.Path("d", "masks").mkdir()
    Image.fromarray((200 * np.eye(3)[places]).astype("uint8")).save("d/images/a.png")
    return places


@pytest.mark.parametrize(
    ("names", "ids"),
    [(["red", "dark green", "blue"], [0, 1, 2]), (["Blue", "red", "Dark_Green"], [1, 2, 0]),
     (None, [0, 1, 2])],
)  # fmt: skip
def test_classes_of_pixels_are_found_by_their_names(colours, names, ids):
    labels = np.array(ids, "uint8")[colours]
    labels[0] = 255
    Image.fromarray(labels).save("d/masks/a.png")
    if names is not None:
        pathlib.Path("d", "classes.txt").write_text("\n".join(names))
    report = evaluation.evaluate("s.keras", "d")
    assert report.numbers["mIoU"] == 1
    assert report.labels == ("red", "dark green", "blue")


def test_classes_of_pixels_may_be_fewer_but_no_others(colours):
    Image.fromarray((2 - colours.clip(1)).astype("uint8")).save("d/masks/a.png")
    pathlib.Path("d", "classes.txt").write_text("dark green\nred\n")
    report = evaluation.evaluate("s.keras", "d")
    assert report.matrix.sum(axis=1)[2] == 0
    pathlib.Path("d", "classes.txt").write_text("red\nyellow\n")
    pathlib.Path("d/masks/a.png").write_bytes(b"")  # which is not read before the classes are known
    with pytest.raises(ValueError, match="not have the data's classes yellow; it has 3: red, dark"):
        evaluation.evaluate("s.keras", "d")


def test_a_report_has_names_of_any_kind(tmp_path, monkeypatch):
    names = ("$\\frac$", "Äpfel", "a$b")
    counts = np.ones((3, 3), int)
    report = Report("classification", "m", "d", {"top1": 0.5}, names, counts, [], 3)
    monkeypatch.setattr("locale.getpreferredencoding", lambda *_: "ascii")
    report.write(tmp_path / "out", lambda name: None)
    lines = (tmp_path / "out" / "confusion.csv").read_text("utf-8").splitlines()
    assert lines[2] == "Äpfel,1,1,1"


@pytest.mark.full("runs the converter")
@pytest.mark.parametrize("argmax", [False, True])
def test_an_artifact_of_a_segmenter(tmp_path, rng, argmax, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for split in ("images", "masks"):
        pathlib.Path("street", split).mkdir(parents=True)
    for number in range(2):
        picture = Image.fromarray(rng.integers(0, 256, (64, 96, 3), "uint8"))
        picture.save(f"street/images/{number}.png")
        labels = rng.integers(0, 3, (64, 96), "uint8")
        Image.fromarray(labels).save(f"street/masks/{number}.png")
    backbone = keras_pvt.PVTBackbone(TINY, (64, 96, 3), include_preprocessing=True)
    model = SemanticFPN(backbone, 3)
    perturb(model)
    names = ["sky", "road", "tree"]
    keras_pvt.save_model(model, "s.keras", names)
    keras_pvt.export(model, "s.onnx", "onnx", argmax=argmax, classes=names)
    ours = evaluation.evaluate("s.keras", "street", size=0)
    theirs = evaluation.evaluate("s.onnx", "street")
    assert theirs.numbers == pytest.approx(ours.numbers, abs=2e-3)


def test_facts_of_an_artifact():
    facts = Facts((None, 32, 32, 3), True, "classification", False, False, 36)
    assert Facts.of_text(facts.text()) == facts
    for text in ("[]", "{}", '{"shape": [1, 2], "pixels": true}', "nothing", '{"shape": 3}'):
        with pytest.raises(ValueError, match=r"artifact|Expecting"):
            Facts.of_text(text)
    for changes in ({"task": "walking"}, {"pixels": 1}, {"resize_size": 0}):
        with pytest.raises(ValueError, match="cannot be used"):
            Facts(**{"shape": (1, 2, 2, 3), "pixels": True, **changes})


def test_what_an_artifact_says_of_its_model():
    model = keras_pvt.classifier(TINY, classes=2, include_preprocessing=True)
    facts = Facts.of_model(model, named(model), (1, 32, 32, 3), 40)
    assert (facts.task, facts.pixels, facts.logits, facts.resize_size) == (
        "classification", True, False, 40,
    )  # fmt: skip
    backbone = keras_pvt.PVTBackbone(TINY)
    assert Facts.of_model(backbone, named(backbone), (1, 64, 64, 3)).task is None


def test_a_detector_is_measured_on_any_format(tmp_path, capsys):
    """A folder in YOLO's layout: its boxes are edges in parts of the image."""
    for split in ("train", "test"):
        (tmp_path / "yolo" / "images" / split).mkdir(parents=True)
        (tmp_path / "yolo" / "labels" / split).mkdir(parents=True)
        Image.new("RGB", (60, 40)).save(tmp_path / "yolo" / "images" / split / "a.png")
        (tmp_path / "yolo" / "labels" / split / "a.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    names = "train: images/train\ntest: images/test\nnames: [bird, wren]\n"
    (tmp_path / "yolo" / "data.yaml").write_text(names)
    data, masked, split = open_set(tmp_path / "yolo", None, ["wren", "kite"], True, "val")
    assert split == "test"
    (one,) = data.samples
    np.testing.assert_allclose(one.boxes, [[15, 10, 45, 30]])
    assert one.labels.tolist() == [0]
    assert masked is None
    with pytest.raises(ValueError, match="has no split 'other'; it has train, test"):
        open_set(tmp_path / "yolo", None, ["wren"], False, "other")
    with pytest.raises(ValueError, match="leave out the folder"):
        open_set(tmp_path / "yolo", tmp_path, ["wren"], False, "val")
    (tmp_path / "yolo" / "a.xml").write_text("<annotation/>")
    with pytest.raises(ValueError, match=r"fits several formats: voc, .* --format decides"):
        open_set(tmp_path / "yolo", None, ["wren"], False, "val")
    found, _, _ = open_set(tmp_path / "yolo", None, ["wren"], False, "val", "yolo")
    assert len(found.samples) == 1
    with pytest.raises(FileNotFoundError, match=r"'coco/2017'\. A detector is measured on files"):
        open_set("coco/2017", None, ["wren"], False, "val")
    with pytest.raises(
        ValueError,
        match="no object of the model's classes, kite; 1 x object of class 'wren', which is not",
    ):
        open_set(tmp_path / "yolo", None, ["kite"], False, "val", "yolo")


def test_what_cannot_be_is_said_before_the_images_are_looked_at(birds, monkeypatch):
    monkeypatch.chdir(birds)
    monkeypatch.setattr("keras_pvt.evaluation.classification.ClassifierEvaluation.run", None)
    pathlib.Path("file").touch()
    with pytest.raises(FileExistsError, match="file is a file; the report needs a folder"):
        evaluation.evaluate("birds.keras", "data", "file")
    for more in ({"images": "data"}, {"format": "voc"}):
        with pytest.raises(ValueError, match=r"are for detectors; birds.keras is for classif"):
            evaluation.evaluate("birds.keras", "data", **more)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match="drawing the report needs matplotlib"):
        evaluation.evaluate("birds.keras", "data", "out")
    artifact = types.SimpleNamespace(classes=("a",))
    with pytest.raises(ValueError, match="the size that it was exported with"):
        Named("s.onnx", artifact, None).segmenter(64)
