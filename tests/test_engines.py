"""Engines: the same answers as Keras's, artifacts in the cache, and what goes wrong with them."""

import errno
import json
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import filelock
import keras
import numpy as np
import pytest
from conftest import SHALLOW, perturb
from fetching import started
from PIL import Image

import keras_pvt
from keras_pvt import ops, runtimes
from keras_pvt.cli import main
from keras_pvt.detection import DETR, Detector, MaskRCNN, RetinaNet
from keras_pvt.engines import artifacts, choice, fingerprint, removal, table
from keras_pvt.engines.named import Wish
from keras_pvt.engines.network import Network
from keras_pvt.engines.subject import Representative, Subject
from keras_pvt.engines.tasks import detector_by, segment_by
from keras_pvt.exporting import ExportError
from keras_pvt.exporting import export as real_export
from keras_pvt.segmentation import Predictor, SemanticFPN

pytestmark = pytest.mark.one_backend("runs what was written", full=True)

WORKER = pathlib.Path(__file__).with_name("engine_worker.py")
IMAGES = pathlib.Path(__file__).parents[1] / "examples" / "images"
# Odd, no squares, several at once; the last leaves one cell in stage 4.
SHAPES = ((1, 64, 64, 3), (3, 72, 104, 3), (2, 33, 40, 3))


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def model():
    model = keras_pvt.classifier(SHALLOW, input_shape=(None, None, 3), classifier_activation=None)
    perturb(model)
    return model


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    """Its ONNX file, for any size and number of images."""
    path = tmp_path_factory.mktemp("written") / "model.onnx"
    real_export(model, path, "onnx", batch_size=None, verify=False)
    return path


class Exports:
    """In place of the export: copies an artifact, and counts."""

    def __init__(self, written):
        self.written = written
        self.count = 0
        self.before = lambda: None

    def __call__(self, model, path, format, **options):
        self.count += 1
        self.before()
        shutil.copy(self.written, path)


@pytest.fixture
def exports(written, monkeypatch):
    found = Exports(written)
    monkeypatch.setattr(sys.modules["keras_pvt.exporting.export"], "export", found)
    return found


@pytest.fixture
def said(caplog):
    """What the engines log."""
    caplog.set_level(logging.INFO, "keras_pvt.engines")
    return lambda: " | ".join(record.getMessage() for record in caplog.records)


def network(model, engine="onnxruntime", **options):
    return Network(Subject.of(model), engine, **options)


def images(rng, shape=SHAPES[0]):
    return rng.standard_normal(shape).astype("float32")


def folder_of(home):
    return home / "models" / "keras_pvt" / "engines"


def artifacts_in(home):
    return [file.parent for file in folder_of(home).glob("*/*/record.json")]


@pytest.mark.parametrize(
    ("engine", "count"),
    [
        ("onnxruntime", 1),
        pytest.param("openvino", 1, marks=pytest.mark.full("writes one more artifact")),
        pytest.param("litert", 3, marks=pytest.mark.full("writes an artifact a size")),
    ],
)
def test_the_same_as_keras_at_any_size_and_number(engine, count, model, home, request, rng):
    if engine == "onnxruntime":
        request.getfixturevalue("exports")  # it was written once
    ours = network(model, engine)
    for shape in SHAPES:
        x = images(rng, shape)
        found = ours.predict_on_batch(x)
        assert found.shape == (len(x), 7)
        np.testing.assert_allclose(found, model.predict_on_batch(x), atol=1e-5, rtol=1e-5)
    assert ours.engine == engine
    assert len(artifacts_in(home)) == count


def test_what_is_there_is_not_exported_again(model, exports, rng):
    x = images(rng)
    for _ in range(2):
        found = network(model).predict_on_batch(x)
        np.testing.assert_allclose(found, model.predict_on_batch(x), atol=1e-5, rtol=1e-5)
    assert exports.count == 1


def test_weights_configuration_versions_and_images_tell_artifacts_apart(model, tmp_path):
    other = keras_pvt.classifier(SHALLOW, input_shape=(None, None, 3), classifier_activation=None)
    perturb(other)
    assert fingerprint.of_model(other) == fingerprint.of_model(model)
    bias = other.weights[-1]
    bias.assign(bias.numpy() + 1e-3 * np.eye(7)[3])
    softmax = keras_pvt.classifier(SHALLOW, input_shape=(None, None, 3))
    perturb(softmax)
    found = {fingerprint.of_model(one) for one in (model, other, softmax)}
    assert len(found) == 3
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    seen = {Representative(tmp_path, pixels).identity for pixels in (True, False)}
    Image.new("RGB", (41, 40)).save(tmp_path / "b.png")
    assert len({*seen, Representative(tmp_path, True).identity}) == 3


def test_another_version_is_another_artifact(model, exports, monkeypatch, rng):
    network(model).predict_on_batch(images(rng))
    version = fingerprint.version
    monkeypatch.setattr(
        fingerprint,
        "version",
        lambda name: "9" if name in ("onnxscript", "tf2onnx") else version(name),
    )
    network(model).predict_on_batch(images(rng))
    assert exports.count == 2


@pytest.mark.parametrize("damage", ["artifact", "record", "gone"])
def test_a_damaged_artifact_is_made_again_and_said(damage, model, exports, home, said, rng):
    x = images(rng)
    expected = network(model).predict_on_batch(x)
    (place,) = artifacts_in(home)
    if damage == "artifact":
        content = bytearray((place / "model.onnx").read_bytes())
        content[len(content) // 2] ^= 1
        (place / "model.onnx").write_bytes(content)
    elif damage == "record":
        record = (place / "record.json").read_text()
        (place / "record.json").write_text(record.replace("predictions", "prediction"))
    else:
        (place / "model.onnx").unlink()
    np.testing.assert_array_equal(network(model).predict_on_batch(x), expected)
    assert exports.count == 2
    assert "made again" in said()
    assert "Keras computes" not in said()


def test_what_differs_from_keras_is_not_used(model, exports, home, said, rng):
    wrong = keras_pvt.classifier(SHALLOW, input_shape=(None, None, 3), classifier_activation=None)
    perturb(wrong)
    wrong.weights[-1].assign(wrong.weights[-1].numpy() + 1e-3)
    x = images(rng, SHAPES[1])
    ours = network(wrong)
    for _ in range(2):
        np.testing.assert_array_equal(ours.predict_on_batch(x), wrong.predict_on_batch(x))
    assert exports.count == 1
    assert said().count("Keras computes: onnxruntime differs from Keras: largest difference") == 1
    network(wrong).predict_on_batch(x)
    assert exports.count == 1
    assert "differs from Keras: largest" in said().split("Keras computes: ")[2]
    assert not artifacts_in(home)


def test_threads_at_once_export_once(model, exports, rng):
    x, found = images(rng), []
    exports.before = lambda: time.sleep(0.3)
    work = [
        threading.Thread(target=lambda: found.append(network(model).predict_on_batch(x)))
        for _ in range(3)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert exports.count == 1
    assert len(found) == 3
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.full("starts four processes that import Keras")
def test_four_processes_export_once(home, rng):
    x = rng.uniform(0, 255, (3, 32, 32, 3)).astype("float32")
    np.save(home.with_name("images.npy"), x)
    with started([WORKER, home.with_name("images.npy")], 4) as processes:
        outputs = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    told = "".join(outputs)
    assert (told.count("exporting for onnxruntime"), told.count("Keras computes")) == (1, 0)
    model = keras_pvt.PVTNano(weights="cifar10", include_preprocessing=True)
    for output in outputs:
        found = np.array(json.loads(output.splitlines()[-1]))
        np.testing.assert_allclose(found, model.predict_on_batch(x), atol=1e-5, rtol=1e-5)
    (place,) = artifacts_in(home)
    files = {str(path.relative_to(place.parent)) for path in place.parent.rglob("*")}
    assert files - {f"{place.name}.lock"} == {
        place.name, f"{place.name}/model.onnx", f"{place.name}/record.json"
    }  # fmt: skip


@pytest.mark.full("starts two processes that import Keras")
def test_commands_at_once_export_once(home, tmp_path):
    words = ["predict", str(IMAGES), "--engine", "onnxruntime", "--variant", "pvt_nano"]
    run = [sys.executable, "-m", "keras_pvt", *words]
    both = [
        subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert sum(err.count("exporting") for _, err in outputs) == 1
    assert len(artifacts_in(home)) == 1


def test_a_cache_that_cannot_be_written(model, exports, home, said, rng):
    home.write_text("no folder")
    x = images(rng)
    np.testing.assert_array_equal(network(model).predict_on_batch(x), model.predict_on_batch(x))
    assert "Keras computes: the cache of engines cannot be used: " in said()
    assert exports.count == 0


def test_a_full_disk(model, exports, home, said, rng):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    exports.before = full
    x = images(rng)
    np.testing.assert_array_equal(network(model).predict_on_batch(x), model.predict_on_batch(x))
    assert "No space left on device" in said()
    assert not [path for path in folder_of(home).rglob("*") if path.suffix != ".lock"][1:]


def test_more_sizes_than_are_exported(model, monkeypatch, said, rng):
    monkeypatch.setattr(artifacts, "MOST_MADE", 0)
    x = images(rng)
    found = network(model, "litert").predict_on_batch(x)
    np.testing.assert_array_equal(found, model.predict_on_batch(x))
    assert "an artifact for each size" in said()


def test_a_wrong_size_is_kerass_to_refuse(exports, rng):
    fixed = keras_pvt.classifier(SHALLOW, input_shape=(64, 64, 3))
    x = images(rng, (1, 65, 64, 3))

    def outcome(model):
        try:
            return model.predict_on_batch(x)
        except ValueError as error:
            return "64" in str(error)

    np.testing.assert_array_equal(outcome(network(fixed)), outcome(fixed))  # JAX refuses none
    assert exports.count == 0


def test_no_engine_is_a_hint(model, monkeypatch, said, rng):
    monkeypatch.setattr(table.Engine, "is_installed", False)
    ours = network(model, "auto")
    x = images(rng)
    np.testing.assert_array_equal(ours.predict_on_batch(x), model.predict_on_batch(x))
    assert ours.engine == "keras"
    assert 'pip install "keras-pvt[tflite' in said()
    with pytest.raises(ImportError, match=r"'openvino' is not installed: pip .*\[openvino\]"):
        network(model, "openvino")
    with pytest.raises(ImportError, match="'litert' is not installed"):
        Wish("auto", "int8", pathlib.Path("photos"))


def test_the_fastest_is_remembered(model, exports, monkeypatch, home, said, rng):
    times = {"onnxruntime": 2.0, "openvino": 3.0, "keras": 1.0}
    monkeypatch.setattr(table, "installed", lambda precision: ["litert", "onnxruntime"])
    measured = []

    def milliseconds(predict, x):
        name = ["onnxruntime", "keras"][len(measured) % 2]
        measured.append(name)
        return times[name]

    monkeypatch.setattr(choice, "_milliseconds", milliseconds)
    for _ in range(2):
        ours = network(model, "auto")
        ours.predict_on_batch(images(rng))
        assert ours.engine == "keras"
    assert measured == ["onnxruntime", "keras"]  # LiteRT is not for models of any size
    assert "onnxruntime 2.0, keras 1.0" in said()
    monkeypatch.setattr(choice, "machine", lambda: "another")
    times["keras"] = 4.0
    ours = network(model, "auto")
    found = ours.predict_on_batch(images(rng))
    assert ours.engine == "onnxruntime"
    assert len(measured) == 4
    assert len(json.loads((folder_of(home) / "measured.json").read_text())) == 2
    assert found.shape == (1, 7)
    monkeypatch.setattr(choice.fingerprint, "version", lambda name: "10")
    assert choice.remembered("float32, any size", ["onnxruntime"]) is None


def test_few_images_are_not_worth_an_export(model, exports, said, rng):
    ours = network(model, "auto", make=False)
    x = images(rng)
    np.testing.assert_array_equal(ours.predict_on_batch(x), model.predict_on_batch(x))
    assert (exports.count, said()) == (0, "")
    assert [Wish(images=n).makes for n in (1, 31, 32, None)] == [False, False, True, True]
    assert Wish("litert", images=1).makes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tensorrt"}, "no engine 'tensorrt'; there are auto, keras, litert"),
        ({"precision": "int4"}, "no precision 'int4'"),
        ({"engine": "onnxruntime", "precision": "bfloat16"}, "of keras, openvino"),
        ({"engine": "keras", "precision": "int8"}, "has no int8; it is of litert"),
        ({"engine": "litert", "precision": "int8"}, "--representative FOLDER"),
        ({"representative": pathlib.Path("photos")}, "are for int8"),
    ],
)
def test_wishes_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        Wish(**options)


def test_int8_without_a_folder(tmp_path):
    with pytest.raises(NotADirectoryError, match="no folder of representative images"):
        Representative(tmp_path / "none", True)


@pytest.mark.parametrize(
    ("backend", "on_cpu", "gains"),
    [("jax", True, False), ("jax", False, True), ("torch", True, True), ("tensorflow", True, True)],
)
def test_where_bfloat16_takes_longer(monkeypatch, backend, on_cpu, gains):
    monkeypatch.setattr(ops.backend, "BACKEND", backend)
    monkeypatch.setattr(ops.backend, "engine", SimpleNamespace(on_cpu=lambda: on_cpu))
    assert ops.gains_by_bfloat16() is gains


def test_keras_takes_float32_where_bfloat16_takes_longer(model, monkeypatch):
    monkeypatch.setattr(ops, "gains_by_bfloat16", lambda: False)
    assert network(model, "keras", precision="bfloat16")._keras is model


@pytest.mark.full("a model in another precision")
def test_keras_in_bfloat16(model, monkeypatch, rng):
    monkeypatch.setattr(ops, "gains_by_bfloat16", lambda: True)
    x = images(rng, SHAPES[1])
    by_keras = network(model, "keras", precision="bfloat16")
    found = by_keras.predict_on_batch(x)
    expected = model.predict_on_batch(x)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() > 1e-5
    # Rounded once, and not at each call.
    assert {weight.dtype for weight in by_keras._keras.weights} == {"bfloat16"}
    cosine = found.ravel() @ expected.ravel() / np.linalg.norm(found) / np.linalg.norm(expected)
    assert cosine > 0.9995


@pytest.mark.full("writes one more artifact")
def test_openvino_in_bfloat16_where_the_processor_has_it(model, said, rng):
    x = images(rng, SHAPES[1])
    ours = network(model, "openvino", precision="bfloat16")
    found, expected = ours.predict_on_batch(x), model.predict_on_batch(x)
    error = np.abs(found - expected).max() / max(1, np.abs(expected).max())
    cosine = found.ravel() @ expected.ravel() / np.linalg.norm(found) / np.linalg.norm(expected)
    assert cosine > 0.9995
    computed = "bfloat16" if runtimes.has_bfloat16() else "float32"
    assert (error > 1e-5) == (computed == "bfloat16")
    assert f"openvino in {computed}, next to Keras: " in said()
    assert said().count("openvino computes in float32") == (computed == "float32")


def test_openvino_lets_threads_run_on_every_core(tmp_path, monkeypatch):
    """Of two processes with a thread each, both would take the first core and leave the second."""
    openvino = pytest.importorskip("openvino")
    from openvino import opset13

    images = opset13.parameter([1, 2, 2, 3], np.float32, name="images")
    openvino.save_model(openvino.Model([opset13.relu(images)], [images]), tmp_path / "x.xml")
    core, compiled = openvino.Core(), []
    compile_model = core.compile_model

    class Core:
        def compile_model(self, *args):
            compiled.append(compile_model(*args))
            return compiled[0]

    monkeypatch.setattr(runtimes, "_openvino_core", Core)
    run = runtimes.openvino(tmp_path / "x.xml", 1)
    run(np.zeros((1, 2, 2, 3), "float32"))
    assert compiled[0].get_property("ENABLE_CPU_PINNING") is False
    assert compiled[0].get_property("INFERENCE_NUM_THREADS") == 1


@pytest.mark.parametrize("has", [True, False])
def test_without_bfloat16_the_artifact_is_that_of_float32(has, model, monkeypatch, said):
    monkeypatch.setattr(runtimes, "has_bfloat16", lambda: has)
    asked = []
    monkeypatch.setitem(runtimes.RUNNERS, "openvino", lambda path, threads: asked.append("f32"))
    monkeypatch.setattr(runtimes, "openvino", lambda path, threads, name: asked.append(name))
    for precision in ("float32", "bfloat16"):
        found = artifacts.Artifacts(Subject.of(model), "openvino", precision)
        entry = found._entry((None, None, None, 3))
        found._load(entry, {"batch": None, "structure": None})
        assert found.precision in entry.path.name
    assert asked == ["f32", "bf16" if has else "f32"]
    assert ("this processor has no bfloat16" in said()) != has


@pytest.mark.full("exports by TensorFlow, and quantizes")
def test_int8_says_how_it_agrees(said, rng, home):
    nano = keras_pvt.PVTNano(weights="cifar10", include_preprocessing=True)
    ours = network(nano, "auto", precision="int8", representative=Representative(IMAGES, True))
    x = rng.uniform(0, 255, (3, 32, 32, 3)).astype("float32")
    found = ours.predict_on_batch(x)
    assert ours.engine == "litert"
    assert np.abs(found - nano.predict_on_batch(x)).max() < 0.2
    assert "litert in int8, next to Keras: largest difference" in said()


def test_predict_without_keras_once_there_is_an_artifact(home, tmp_path, capsys):
    words = ["predict", *map(str, sorted(IMAGES.glob("*.jpg"))), "--variant", "pvt_nano"]
    assert main([*words, "--engine", "keras"]) == 0
    expected = capsys.readouterr().out
    assert main([*words, "--engine", "onnxruntime", "--batch-size", "4"]) == 0
    out, err = capsys.readouterr()
    assert out == expected
    assert "exporting for onnxruntime, once" in err
    code = (
        "import sys; sys.argv[0] = 'keras-pvt'; from keras_pvt.cli import main\n"
        "status = main(sys.argv[1:])\n"
        "assert not {'keras', 'torch', 'tensorflow', 'jax'} & sys.modules.keys()\n"
        "sys.exit(status)"
    )
    run = [sys.executable, "-c", code, *words, "--engine", "onnxruntime"]
    done = subprocess.run(run, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == expected
    facts = next(folder_of(home).glob("*/facts.json"))
    facts.write_text(facts.read_text().replace('"cat"', '"dog"'))
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 1  # Keras was imported, as the names are another's
    assert done.stdout == expected


# Where the export fails, Keras computes what the engine would have.
BY = pytest.mark.parametrize(
    "fails",
    [True, pytest.param(False, marks=pytest.mark.full("writes one more model"))],
    ids=["keras", "onnxruntime"],
)


def fail(*arguments, **options):
    raise ExportError("it cannot be written")


@BY
def test_segment(fails, rng, monkeypatch, said):
    model = SemanticFPN(keras_pvt.PVTBackbone(SHALLOW), num_classes=5, neck_width=16)
    perturb(model)
    if fails:
        monkeypatch.setattr(sys.modules["keras_pvt.exporting.export"], "export", fail)
    plain, ours = Predictor(model), Predictor(model)
    segment_by(ours, Wish("onnxruntime"))
    assert isinstance(ours.model, Network)
    for size in ((70, 99), (64, 33)):
        image = rng.integers(0, 256, (*size, 3), dtype="uint8")
        found, expected = ours.probabilities(image), plain.probabilities(image)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert ("Keras computes: it cannot be written" in said()) == fails


SMALL_DETECTORS = {
    "retinanet": lambda trunk: RetinaNet(trunk, 3, neck_width=16, head_depth=1),
    "mask_rcnn": lambda trunk: MaskRCNN(trunk, 3, neck_width=16, head_width=24, anchor_side=2.0),
}


@BY
@pytest.mark.parametrize("system", SMALL_DETECTORS)
def test_detect(system, fails, monkeypatch, said):
    model = SMALL_DETECTORS[system](keras_pvt.PVTBackbone(SHALLOW))
    perturb(model)
    if fails:
        monkeypatch.setattr(sys.modules["keras_pvt.exporting.export"], "export", fail)
    plain = Detector(model, "keras_pvt", ["a", "b", "c"], (96, 128))
    ours = detector_by(plain, Wish("onnxruntime"))
    assert ours.finder is not None
    files = sorted(IMAGES.glob("*.jpg"))[:3]
    for found, expected in zip(ours.detect(files, 2), plain.detect(files, 2), strict=True):
        assert found.path == expected.path
        assert len(found.scores) == len(expected.scores) > 0
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
        np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)
        if system == "mask_rcnn":
            np.testing.assert_allclose(found.masks, expected.masks, atol=1e-4)
    assert ("Keras computes: it cannot be written" in said()) == fails
    keras.saving.serialize_keras_object(model)  # which it can still be
    assert detector_by(plain, Wish("keras")) is plain


def test_other_detectors_are_computed_by_keras(said):
    model = DETR(keras_pvt.PVTBackbone(SHALLOW), 3, 9, embed_dim=16, depth=1, hidden_dim=24)
    plain = Detector(model, "keras_pvt", ["a", "b", "c"], (96, 128))
    assert detector_by(plain, Wish("onnxruntime")) is plain
    assert "no other detectors yet" in said()


def test_predictor(model, exports, tmp_path, rng):
    path = tmp_path / "model.keras"
    keras_pvt.save_model(model, path, list("abcdefg"), size=(64, 64))
    files = sorted(IMAGES.glob("*.jpg"))[:2]
    ours = keras_pvt.Predictor(path, "onnxruntime")
    plain = keras_pvt.Predictor(keras_pvt.load_model(path), "keras")
    for found, expected in zip(ours.predict(files), plain.predict(files), strict=True):
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    x = images(rng)
    np.testing.assert_allclose(ours(x), model.predict_on_batch(x), atol=1e-5, rtol=1e-5)
    assert exports.count == 1
    with pytest.raises(ValueError, match="does not say which part"):
        next(keras_pvt.Predictor(model, "keras").predict(files))


def an_artifact(home, name, days, mib):
    """Put one into the cache that was used some days ago."""
    place = folder_of(home) / "other" / name
    place.mkdir(parents=True)
    (place / "model.onnx").write_bytes(bytes(mib * 2**20))
    (place / "record.json").write_text("{}")
    then = time.time() - 86400 * days
    os.utime(place / "record.json", (then, then))
    return place


def test_what_was_not_used_for_the_longest_time_is_removed(home, monkeypatch, said):
    ages = {"c": 9, "a": 8, "d": 7, "b": 6, "now": 0.02}
    c, a, d, b, now = (an_artifact(home, name, days, 1) for name, days in ages.items())
    removal.remove_old()
    assert len(artifacts_in(home)) == 5
    monkeypatch.setenv(removal.VARIABLE, str(3.5 / 1024))
    with filelock.FileLock(f"{c}.lock"):  # it is being written
        removal.remove_old()
    assert [path.exists() for path in (c, a, d, b, now)] == [True, False, False, True, True]
    assert said().count("removed from the cache of engines") == 2
    assert f"{a} of 1 MB" in said()
    monkeypatch.setenv(removal.VARIABLE, "0")
    removal.remove_old()
    assert artifacts_in(home) == [now]  # may be in use


def test_an_artifact_that_is_written_makes_room_and_one_in_use_says_so(
    model, exports, home, monkeypatch, rng
):
    monkeypatch.setenv(removal.VARIABLE, "0")
    old, x = an_artifact(home, "old", 1, 1), images(rng)
    left = {days: old.with_name(f".keras_pvt-{days}") for days in (0, 2)}  # of killed processes
    for days, path in left.items():
        path.mkdir()
        os.utime(path, (time.time() - 86400 * days,) * 2)
    ours = network(model)
    ours.predict_on_batch(x)
    (own,) = artifacts_in(home)
    assert [path.exists() for path in left.values()] == [True, False]
    for opened in (network(model), ours):
        os.utime(own / "record.json", (0, 0))
        opened.predict_on_batch(x)
        assert (own / "record.json").stat().st_mtime > time.time() - 60
        monkeypatch.setattr(removal, "SAYS", -1)  # the next one has it open for long


@pytest.mark.parametrize("text", ["2 GB", "-1", "nan"])
def test_a_bound_that_is_none(text, home, monkeypatch, said):
    old = an_artifact(home, "old", 1, 1)
    monkeypatch.setenv(removal.VARIABLE, text)
    removal.remove_old()
    assert old.exists()
    assert f"KERAS_PVT_ENGINES_GIB is no number of GiB: {text!r}; 2 are kept" in said()


def test_a_file_tells_its_model_which_keras_need_not_describe(
    model, exports, tmp_path, monkeypatch
):
    describe = fingerprint.of_model
    monkeypatch.setattr(fingerprint, "of_model", fail)  # it imports TensorFlow
    path, x = tmp_path / "model.keras", np.ones((1, 64, 64, 3), "float32")
    keras_pvt.save_model(model, path, list("abcdefg"), size=(64, 64))
    for _ in range(2):
        found = keras_pvt.Predictor(path, "onnxruntime")(x)
        np.testing.assert_allclose(found, model.predict_on_batch(x), atol=1e-5, rtol=1e-5)
    assert exports.count == 1
    file = Wish("onnxruntime").file(path)
    parts = {Subject.of(model, f"{file}{part}").identity for part in ("", ", in part")}
    monkeypatch.setattr(fingerprint, "of_model", describe)
    assert len({*parts, Subject.of(model).identity}) == 3
    monkeypatch.setattr(fingerprint, "_code_of", lambda model: "other code")
    assert Subject.of(model, file).identity not in parts
    keras_pvt.save_model(model, path, list("abcdefh"), size=(64, 64))
    assert Wish("onnxruntime").file(path) != file
    others = (tmp_path, tmp_path / "no.keras", "hf://a/b.keras", "weights.safetensors")
    assert [Wish("onnxruntime").file(other) for other in others] == [None] * 4
    assert Wish("keras").file(path) is None


@pytest.mark.full("builds two models for commands")
@pytest.mark.parametrize("task", ["segment", "detect"])
def test_the_commands_tell_a_model_by_its_file(task, tmp_path, monkeypatch, capsys):
    if task == "segment":
        model = SemanticFPN(keras_pvt.PVTBackbone(SHALLOW), num_classes=2, neck_width=16)
    else:
        model = RetinaNet(keras_pvt.PVTBackbone(SHALLOW), 2, neck_width=16, head_depth=1)
    path = tmp_path / "model.keras"
    keras_pvt.save_model(model, path, ["a", "b"], size=(64, 64))
    monkeypatch.setattr(fingerprint, "of_model", lambda model: pytest.fail("it is described"))
    monkeypatch.setattr(sys.modules["keras_pvt.exporting.export"], "export", fail)
    words = [task, str(IMAGES / "cat.jpg"), "--model", str(path), "--out", str(tmp_path / "out")]
    said = []
    for engine in ("keras", "onnxruntime"):
        assert main([*words, "--engine", engine]) == 0
        said.append(capsys.readouterr())
    assert said[0].out == said[1].out
    assert "Keras computes: it cannot be written" in said[1].err
