"""What bad input to an export gets: one clear line, and nothing lost."""

import importlib.util
import json
import os
import pathlib
import zipfile

import keras
import numpy as np
import pytest
from conftest import SHALLOW
from PIL import Image

import keras_pvt
from keras_pvt.cli import main
from keras_pvt.exporting import ExportError
from keras_pvt.exporting.errors import reason
from keras_pvt.exporting.representative import representative_images
from keras_pvt.utils.files import replacing

pytestmark = pytest.mark.one_backend("what is said")

FORMAT = "onnx" if keras.backend.backend() == "torch" else "tflite"


@pytest.fixture(scope="module")
def model():
    return keras_pvt.classifier(SHALLOW, input_shape=(None, None, 3))


@pytest.fixture
def path(tmp_path):
    return tmp_path / f"model.{FORMAT}"


def test_arguments(model, path, tmp_path):
    with pytest.raises(ValueError, match="no format 'caffe'; there are saved_model, tflite"):
        keras_pvt.export(model, path, "caffe")
    with pytest.raises(ValueError, match=r"a file for openvino ends in '\.xml'"):
        keras_pvt.export(model, path, "openvino")
    with pytest.raises(ValueError, match="'onnx' is not quantized as 'int8'; it is for tflite"):
        keras_pvt.export(model, tmp_path / "m.onnx", "onnx", quantize="int8")
    with pytest.raises(ExportError, match="a map of 1x4 cells is smaller than"):
        keras_pvt.export(model, path, FORMAT, size=(16, 64))
    with pytest.raises(ExportError, match=r"takes a height of 64 pixels; got 96\. Build it with"):
        keras_pvt.export(keras_pvt.classifier(SHALLOW), path, FORMAT, size=(96, 64))
    assert not list(tmp_path.iterdir())


def test_representative_images(model, tmp_path):
    path = tmp_path / "m.tflite"
    options = {"format": "tflite", "quantize": "int8", "size": (64, 64)}
    with pytest.raises(ValueError, match="needs `representative` images"):
        keras_pvt.export(model, path, **options)
    with pytest.raises(ValueError, match=r"that fit \(1, 64, 64, 3\); got \(4, 64, 96, 3\)"):
        keras_pvt.export(model, path, representative=np.zeros((4, 64, 96, 3)), **options)
    options["size"] = (None, None)
    with pytest.raises(ValueError, match="needs a fixed size"):
        keras_pvt.export(model, path, representative=np.zeros((4, 64, 96, 3)), **options)


def test_models(path):
    two = keras.Input((32, 32, 3)), keras.Input((32, 32, 3))
    with pytest.raises(ExportError, match="does not take one batch of images"):
        keras_pvt.export(keras.Model(two, keras.layers.add(two)), path, FORMAT)
    with pytest.raises(ExportError, match="is not functional, or not built"):
        keras_pvt.export(keras.Sequential([keras.layers.Flatten()]), path, FORMAT)
    model = keras_pvt.classifier(SHALLOW, include_preprocessing=True)
    with pytest.raises(ExportError, match="has its preprocessing inside already"):
        keras_pvt.export(model, path, FORMAT, include_preprocessing=True)


def test_what_a_format_cannot_express(path):
    images = keras.Input((32, 32, 3))
    model = keras.Model(images, keras.ops.erfinv(images))
    with pytest.raises(ExportError, match=f"cannot write this model as {FORMAT}: .") as caught:
        keras_pvt.export(model, path, FORMAT)
    assert "\n" not in str(caught.value)
    assert "--size" not in str(caught.value)
    images = keras.Input((None, None, 3))
    model = keras.Model(images, keras.ops.erfinv(images))
    with pytest.raises(ExportError, match=r"a fixed `size` \(--size HxW\) helps"):
        keras_pvt.export(model, path, FORMAT)
    assert not path.exists()


def test_reasons_of_libraries():
    """Whole, on one line, without colours, each thing once."""
    error = ValueError("Got \x1b[96minvalid\x1b[0m sides:\n\n  index 1\n  Got: 224 Expected: 192\n")
    assert reason(error) == "Got invalid sides: index 1 Got: 224 Expected: 192"
    assert reason(ValueError("\n")) == "ValueError"
    steps = [f"step {n}" for n in range(300)]
    told = reason(ValueError("\n".join(["Failed.", *steps, "a way", "a way", "the cause"])))
    assert told == " ".join(["Failed.", *steps, "a way", "the cause"])
    assert reason(ValueError('x: error: loc("a"("b")): no such op')) == "no such op"


def test_targets(model, path, tmp_path):
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="exists; pass overwrite=True"):
        keras_pvt.export(model, path, FORMAT)
    folder = tmp_path / "photos"
    folder.mkdir()
    with pytest.raises(IsADirectoryError, match="no SavedModel: it is not replaced"):
        keras_pvt.export(model, folder, "saved_model", overwrite=True)
    with pytest.raises(NotADirectoryError, match="is a file"):
        keras_pvt.export(model, path, "saved_model", overwrite=True)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        keras_pvt.export(model, tmp_path / "missing" / path.name, FORMAT)
    assert path.read_text() == "mine"


@pytest.mark.skipif(not pathlib.Path("/proc/self").is_dir(), reason="is of Linux")
def test_a_folder_that_nobody_can_write_to(model, capsys):
    """Not even root, under whom these tests may run."""
    path = pathlib.Path("/proc") / f"model.{FORMAT}"
    with pytest.raises(PermissionError, match=r"the folder '/proc' cannot be written to: .+"):
        keras_pvt.export(model, path, FORMAT)
    assert "'/proc' cannot be written to" in fails(
        capsys, "pvt_nano", "--format", FORMAT, "--out", path
    )


def test_a_parent_that_is_a_file(model, path):
    path.write_text("mine")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        keras_pvt.export(model, path / path.name, FORMAT)
    assert path.read_text() == "mine"


def test_no_room_on_the_disk(model, path, tmp_path):
    """A limit to the size of files fails as a full disk does, once writing has begun."""
    resource = pytest.importorskip("resource")
    path.write_text("mine")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises((OSError, ExportError), match="File too large"):
            keras_pvt.export(model, path, FORMAT, size=(64, 64), overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "mine"


def test_a_missing_package_is_named(model, path, monkeypatch):
    found = importlib.util.find_spec
    runtime = {"onnx": "onnxruntime", "tflite": "ai_edge_litert"}[FORMAT]
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == runtime else found(name)
    )
    message = rf'needs {runtime} here: pip install "keras-pvt\[{FORMAT}\]"'
    with pytest.raises(ImportError, match=message):
        keras_pvt.export(model, path, FORMAT)


def test_what_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "model.xml"
    path.write_text("old xml")
    (tmp_path / "model.bin").write_text("old bin")

    def write(fail):
        with replacing(path) as temporary:
            temporary.write_text("new xml")
            temporary.with_suffix(".bin").write_text("new bin")
            if fail:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(fail=True)
    assert {file.read_text() for file in tmp_path.iterdir()} == {"old xml", "old bin"}
    write(fail=False)
    assert {file.read_text() for file in tmp_path.iterdir()} == {"new xml", "new bin"}


def test_folders_of_images(tmp_path):
    with pytest.raises(NotADirectoryError, match="is no folder"):
        representative_images(tmp_path / "missing", (32, 32), pixels=True)
    with pytest.raises(ValueError, match="has no image"):
        representative_images(tmp_path, (32, 32), pixels=True)
    halves = np.zeros((40, 80, 3), "uint8")
    halves[:, 40:] = 255
    Image.fromarray(halves).save(tmp_path / "a.png")
    images = representative_images(tmp_path, (32, 48), pixels=True)
    assert images.shape == (1, 32, 48, 3)
    assert images[0, :, 0].max() < 50
    assert images[0, :, -1].min() > 200
    normalised = representative_images(tmp_path, (32, 48), pixels=False)
    np.testing.assert_allclose(normalised, keras_pvt.preprocess_input(images))
    # Those of class folders too, in any depth; what an operating system hides is none.
    below = tmp_path / "cat" / "young"
    hidden = tmp_path / ".thumbnails"
    for folder, gray in ((below, 40), (hidden, 80)):
        folder.mkdir(parents=True)
        Image.new("RGB", (48, 32), (gray, gray, gray)).save(folder / "c.png")
    images = representative_images(tmp_path, (32, 48), pixels=True)
    assert sorted(images.max(axis=(1, 2, 3))) == [40, 255]
    (tmp_path / "b.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"b\.jpg cannot be read as an image"):
        representative_images(tmp_path, (32, 48), pixels=True)


def fails(capsys, *words):
    """The one line of an error."""
    assert main(["export", *map(str, words)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_command_line(capsys, tmp_path, path):
    out = ["--format", FORMAT, "--out", path]
    assert "is no variant (pvt_nano" in fails(capsys, "resnet50", *out)
    assert "--representative FOLDER" in fails(
        capsys, "pvt_nano", "--format", "tflite", "--quantize", "int8"
    )
    broken = tmp_path / "broken.pth"
    broken.write_bytes(b"PK\x03\x04")
    assert "broken.pth" in fails(capsys, broken, *out)
    with pytest.raises(SystemExit):
        main(["export", "pvt_nano"])


def test_unknown_layer_in_a_file(capsys, tmp_path, path, model):
    file = tmp_path / "model.keras"
    model.save(file)
    changed = tmp_path / "changed.keras"
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                text = json.dumps(json.loads(content))
                content = text.replace("TakeClassToken", "Mine").encode()
            new.writestr(name, content)
    line = fails(capsys, changed, "--format", FORMAT, "--out", path)
    assert "Could not locate class 'Mine'" in line
    assert "before trying to load them. A layer of your own has to be registered" in line
    assert not path.exists()


def test_two_files_are_replaced_together_or_not_at_all(tmp_path, monkeypatch):
    """The second cannot be moved: the first goes back."""
    path = tmp_path / "model.xml"
    path.write_text("old xml")
    (tmp_path / "model.bin").write_text("old bin")
    move = os.replace

    def refused(source, target):
        if str(target).endswith(".xml"):
            raise OSError("no")
        move(source, target)

    def write():
        with replacing(path) as temporary:
            temporary.write_text("new xml")
            temporary.with_suffix(".bin").write_text("new bin")

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(OSError, match="no"):
        write()
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {
        "model.xml": "old xml",
        "model.bin": "old bin",
    }


def test_ctrl_c_between_two_files_puts_both_back(tmp_path, monkeypatch):
    path = tmp_path / "model.xml"
    path.write_text("old xml")
    (tmp_path / "model.bin").write_text("old bin")
    move = os.replace

    def interrupted(source, target):
        if str(target).endswith(".xml"):
            raise KeyboardInterrupt
        move(source, target)

    def write():
        with replacing(path) as temporary:
            temporary.write_text("new xml")
            temporary.with_suffix(".bin").write_text("new bin")

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write()
    assert {file.read_text() for file in tmp_path.iterdir()} == {"old xml", "old bin"}


def test_a_folder_never_makes_way_for_a_file(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(IsADirectoryError, match="is a folder"), replacing(folder) as temporary:
        temporary.write_text("a picture")
    assert (folder / "mine.txt").read_text() == "mine"
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(NotADirectoryError, match="is a file"), replacing(file) as temporary:
        temporary.mkdir()
    assert file.read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("kind", ["device", "dot"])
def test_what_no_file_can_be(tmp_path, monkeypatch, kind):
    """A pipe stands for a device, which root could replace."""
    monkeypatch.chdir(tmp_path)
    path = pathlib.Path(".")
    if kind == "device":
        path = tmp_path / "pipe"
        os.mkfifo(path)
    with pytest.raises(OSError, match="is no name of a file"), replacing(path) as temporary:
        temporary.write_text("new")
    assert kind == "dot" or path.is_fifo()
