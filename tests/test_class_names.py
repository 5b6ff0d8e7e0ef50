"""Names of classes travel: from the files of trainers to what is found, exported and written."""

import json
import zipfile

import keras
import numpy as np
import pytest
import torch
from conftest import perturb
from PIL import Image

import keras_pvt
from keras_pvt.cli import main
from keras_pvt.conversion import (
    model_from_checkpoint,
    read_checkpoint,
    recognised,
    save_checkpoint,
    to_torch,
)
from keras_pvt.conversion.readers.trainers import class_names, written_by
from keras_pvt.detection import Detector, RetinaNet
from keras_pvt.exporting import class_names as names_in
from keras_pvt.exporting.names import keep
from keras_pvt.exporting.sources import load
from keras_pvt.segmentation import SemanticFPN, TrainedSegmenter

pytestmark = pytest.mark.one_backend("moves words")

NAMES = ("wren", "tawny owl", "ŝtrigo")


def perturbed(model):
    perturb(model)
    return model


def classifier():
    return perturbed(keras_pvt.classifier("pvt_nano", classes=3, include_preprocessing=True))


def segmenter():
    backbone = keras_pvt.PVTBackbone("pvt_nano", include_preprocessing=True)
    return perturbed(SemanticFPN(backbone, 3, 12, 8))


def detector():
    backbone = keras_pvt.PVTBackbone("pvt_nano", include_preprocessing=True)
    return perturbed(RetinaNet(backbone, 3, 12, 1))


MODELS = {"predict": classifier, "segment": segmenter, "detect": detector}


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    pixels = np.random.default_rng(3).integers(0, 255, (40, 48, 3), dtype="uint8")
    Image.fromarray(pixels).save(path)
    return path


def run(capsys, *words) -> str:
    status = main([str(word) for word in words])
    shown = capsys.readouterr()
    assert status == 0, shown.err
    return shown.out


# ---- in the files of trainers


@pytest.mark.parametrize(
    ("content", "writer"),
    [
        ({"meta": {"mmdet_version": "2.13.0", "CLASSES": NAMES}}, "mmdetection 2.13.0"),
        (
            {"meta": {"mmengine_version": "0.10", "dataset_meta": {"classes": list(NAMES)}}},
            "mmengine 0.10",
        ),
        (
            {"meta": {"mmcv_version": "2", "mmseg_version": "1.2", "CLASSES": NAMES}},
            "mmsegmentation 1.2",
        ),
        ({"class_to_idx": {"ŝtrigo": 2, "wren": 0, "tawny owl": 1}}, None),
        ({"classes": list(NAMES), "epoch": 3, "arch": "x", "state_dict": {}}, "timm"),
        (
            {"hyper_parameters": {"class_names": NAMES}, "pytorch-lightning_version": "2.5"},
            "PyTorch Lightning 2.5",
        ),
    ],
)
def test_trainers_name_them(content, writer, tmp_path):
    assert class_names(content) == NAMES
    assert written_by(content) == writer
    torch.save({**content, "state_dict": {"w": torch.ones(2)}}, tmp_path / "x.pth")
    assert read_checkpoint(tmp_path / "x.pth").classes == NAMES


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"classes": 3},
        {"classes": ["a", "a"]},
        {"classes": [1, 2]},
        {"meta": None},
        {"meta": {"CLASSES": None, "dataset_meta": []}},
        {"class_to_idx": {"a": 1, "b": 2}},
        {"class_to_idx": {"a": 0, "b": "1"}},
        {"class_to_idx": {"a": 0, "b": 10**5000}},
    ],
)
def test_what_are_no_names(content):
    assert class_names(content) is None


def test_another_number_of_names_is_said(tmp_path):
    state = {key: torch.from_numpy(array) for key, array in to_torch(classifier()).items()}
    torch.save({"model": state, "classes": ["a", "b"]}, tmp_path / "x.pth")
    _, report = model_from_checkpoint(recognised(read_checkpoint(tmp_path / "x.pth")))
    assert report.classes is None
    assert report.notices == ["the file names 2 classes, and its model has 3: they are left out"]


# ---- to the commands, by every kind of file that can have them


def of_trainer(model, path):
    """As mmengine writes it."""
    state = {key: torch.from_numpy(np.array(array)) for key, array in to_torch(model).items()}
    meta = {"mmengine_version": "0.10.4", "dataset_meta": {"classes": NAMES}}
    torch.save({"meta": meta, "state_dict": state, "message_hub": object()}, path)


def wrote(model, folder, kind):
    path = folder / f"x{kind}"
    if kind == ".pth":
        of_trainer(model, path)
    elif kind == ".safetensors":
        save_checkpoint(to_torch(model), path, NAMES)
    else:
        keras_pvt.save_model(model, path, NAMES, size=(32, 32))
    return path


@pytest.mark.parametrize("kind", [".pth", ".safetensors", ".keras"])
@pytest.mark.parametrize("verb", ["predict", "segment"])
def test_to_predict_and_segment(verb, kind, tmp_path, photo, capsys):
    path = wrote(MODELS[verb](), tmp_path, kind)
    out = () if verb == "predict" else ("--out", tmp_path / "out")
    lines = run(capsys, verb, photo, "--model", path, *out).splitlines()
    assert {line.split("\t")[1] for line in lines} <= set(NAMES)
    assert lines


@pytest.mark.full("detects twice")
@pytest.mark.parametrize("kind", [".safetensors", ".keras"])
def test_to_detect(kind, tmp_path, photo, capsys):
    path = wrote(detector(), tmp_path, kind)
    words = ["--out", tmp_path / "out", "--threshold", "0"]
    lines = run(capsys, "detect", photo, "--model", path, *words).splitlines()
    assert {line.split("\t")[1] for line in lines} <= set(NAMES)
    assert lines


def test_to_python(tmp_path, caplog):
    save_checkpoint(to_torch(detector()), tmp_path / "d.safetensors", NAMES)
    found = Detector.load(tmp_path / "d.safetensors")
    assert (found.classes, found.size) == (list(NAMES), (800, 1333))
    assert "does not say at which size it sees images: 800x1333 is taken" in caplog.text
    of_trainer(segmenter(), tmp_path / "s.pth")
    assert TrainedSegmenter.load(tmp_path / "s.pth").classes == NAMES
    with pytest.raises(ValueError, match="is a segmenter: use keras-pvt segment"):
        Detector.load(tmp_path / "s.pth")


def test_a_checkpoint_without_names_is_named_by_the_user(tmp_path, photo, capsys):
    path, names = tmp_path / "x.npz", tmp_path / "names.txt"
    save_checkpoint(to_torch(segmenter()), path)
    names.write_text("".join(f"{name}\n" for name in NAMES), "utf-8")
    words = ["segment", str(photo), "--model", str(path), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert "--classes names them" in capsys.readouterr().err
    lines = run(capsys, *words, "--classes", names).splitlines()
    assert {line.split("\t")[1] for line in lines} <= set(NAMES)
    names.write_text("one\ntwo\n")
    assert main([*words, "--classes", str(names)]) == 1
    assert "gives 3 classes; got 2 names" in capsys.readouterr().err


def test_a_keras_file_without_names_is_named_by_the_user(tmp_path, photo, capsys):
    names = tmp_path / "names.txt"
    names.write_text("".join(f"{name}\n" for name in NAMES), "utf-8")
    path = tmp_path / "x.keras"
    for verb in ("segment", "predict"):
        MODELS[verb]().save(path)
        words = [verb, str(photo), "--model", str(path)]
        words += ["--out", str(tmp_path / "out")] if verb == "segment" else []
        lines = run(capsys, *words, "--classes", names).splitlines()
        assert {line.split("\t")[1] for line in lines} <= set(NAMES)
    keras_pvt.save_model(classifier(), path, NAMES)
    assert main(["predict", str(photo), "--model", str(path), "--classes", str(names)]) == 1
    assert "has names of its classes; leave out others" in capsys.readouterr().err


def test_a_backbone_is_refused(tmp_path, photo, capsys):
    save_checkpoint(to_torch(keras_pvt.PVTBackbone("pvt_nano")), tmp_path / "x.npz")
    for verb in ("segment", "detect"):
        assert main([verb, str(photo), "--model", str(tmp_path / "x.npz")]) == 1
        assert "is a backbone, which gives no answers" in capsys.readouterr().err


# ---- back into checkpoints


@pytest.mark.parametrize("kind", [".pth", ".safetensors", ".keras"])
@pytest.mark.parametrize("verb", MODELS)
def test_convert_keeps_them(verb, kind, tmp_path, capsys):
    path = wrote(MODELS[verb](), tmp_path, kind)
    asked = ["--set", "anchor_side=4"] if (verb, kind) == ("detect", ".pth") else []
    safe, whole, bare = (tmp_path / name for name in ("a.safetensors", "b.keras", "c.npz"))
    run(capsys, "convert", path, safe, *asked)
    assert read_checkpoint(safe).classes == NAMES
    run(capsys, "convert", safe, whole)
    assert keras_pvt.load_model(whole).classes == NAMES
    assert read_checkpoint(whole).classes == NAMES
    assert "the names of 3 classes; .safetensors and .keras do" in run(
        capsys, "convert", whole, bare
    )


# ---- into exports


SUFFIXES = {"saved_model": "", "tflite": ".tflite", "onnx": ".onnx", "openvino": ".xml"}
IN_EACH_FORMAT = pytest.mark.parametrize(
    "format",
    [
        pytest.param(name, marks=() if name == "onnx" else pytest.mark.full("as in ONNX"))
        for name in SUFFIXES
    ],
)


@pytest.fixture(scope="module")
def small():
    images = keras.Input((32, 32, 3), name="images")
    x = keras.layers.Conv2D(3, 3)(images)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Softmax(name="predictions")(x))


@IN_EACH_FORMAT
def test_an_artifact_has_them(format, small, tmp_path):
    """They are read by the format's own means, and the artifact still answers as its model."""
    path = tmp_path / f"x{SUFFIXES[format]}"
    exported = keras_pvt.export(small, path, format, classes=NAMES)
    assert exported.comparisons
    assert exported.passed
    assert names_in(path) == NAMES
    assert by_others(format, path) == NAMES
    with pytest.raises(ValueError, match="gives 3 classes; got 2 names"):
        keras_pvt.export(small, path, format, classes=NAMES[:2], overwrite=True)


def by_others(format, path):
    """As somebody without this package reads them."""
    if format == "saved_model":
        return tuple((path / "assets.extra/labels.txt").read_text("utf-8").splitlines())
    if format == "tflite":
        with zipfile.ZipFile(path) as archive:
            return tuple(archive.read("labels.txt").decode().splitlines())
    if format == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return tuple(json.loads(session.get_modelmeta().custom_metadata_map["classes"]))
    import openvino

    model = openvino.Core().read_model(path)
    return tuple(json.loads(model.get_rt_info(["keras_pvt", "classes"]).astype(str)))


@IN_EACH_FORMAT
def test_an_artifact_without_them_has_none(format, small, tmp_path):
    path = tmp_path / f"x{SUFFIXES[format]}"
    keras_pvt.export(small, path, format, verify=False)
    assert names_in(path) == ()


@pytest.mark.parametrize("names", [["a", "a", "b"], ["a", "", "b"], ["a", "b", "c\nd"]])
def test_names_that_cannot_be(names, small, tmp_path):
    with pytest.raises(ValueError, match="must be different names"):
        keras_pvt.export(small, tmp_path / "x.onnx", "onnx", classes=names)
    assert not list(tmp_path.iterdir())


def test_what_does_not_come_back_is_an_error(tmp_path):
    (tmp_path / "assets.extra").mkdir()
    with pytest.raises(ValueError, match="other names of classes back"):
        keep("saved_model", tmp_path, "{}", ["a\rb\nc"])


def test_sources_have_them(tmp_path, monkeypatch):
    for kind in (".pth", ".safetensors", ".keras"):
        assert load(str(wrote(classifier(), tmp_path, kind))).classes == NAMES
        assert load(str(wrote(segmenter(), tmp_path, kind))).classes == NAMES
    assert load(str(tmp_path / "x.pth"), features=True).classes is None
    names = load("pvt_nano").classes
    assert names[3] == "cat"
    assert load("pvt_nano", weights="none").classes is None


def test_the_names_of_imagenet_are_all_different():
    from keras_pvt.exporting.sources import _table

    names = _table("pvt_tiny", None)
    assert len(set(names)) == 1000
    assert {"crane (n02012849)", "crane (n03126707)", "tench"} <= set(names)
    assert _table("pvt_v2_b5", "imagenet22k") is None


@pytest.mark.full("exports by each backend")
def test_the_command_exports_them(tmp_path, monkeypatch, capsys):
    path = wrote(classifier(), tmp_path, ".safetensors")
    names = tmp_path / "names.txt"
    names.write_text("one\ntwo\nthree\n")
    words = ["export", path, "--format", "onnx", "--out", tmp_path / "x.onnx", "--no-verify"]
    assert "names of 3 classes are in it" in run(capsys, *words)
    assert names_in(tmp_path / "x.onnx") == NAMES
    run(capsys, *words, "--overwrite", "--classes", names)
    assert names_in(tmp_path / "x.onnx") == ("one", "two", "three")
