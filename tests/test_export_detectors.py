"""Trained detectors of keras-cv and KerasHub, exported from their file with the boxes inside."""

import keras
import numpy as np
import pytest
from conftest import SHALLOW, TINY, perturb
from detections import ranks
from PIL import Image
from test_tflite import operators

import keras_pvt
from keras_pvt import PVTBackbone, runtimes
from keras_pvt.cli import main
from keras_pvt.detection import DETR, MaskRCNN, RetinaNet
from keras_pvt.detection.detector import Detector
from keras_pvt.detection.libraries import LABEL_KEYS, retinanet, without_input_warning
from keras_pvt.detection.serving import AnchoredBoxes, serving_model
from keras_pvt.exporting import sources
from keras_pvt.exporting.subject import half_precision, named
from keras_pvt.formats import FORMATS
from keras_pvt.ops import BACKEND

SIZE = (64, 96)
FORMAT = "onnx" if BACKEND == "torch" else "tflite"


@pytest.mark.one_backend("a file and a graph that other tests run on each", full=True)
@pytest.mark.parametrize(
    ("system", "options"),
    [
        (RetinaNet, {"neck_width": 12, "head_depth": 1}),
        (MaskRCNN, {"neck_width": 12, "head_width": 16}),
        (DETR, {"embed_dim": 16, "depth": 1, "num_heads": 2, "hidden_dim": 24, "num_queries": 9}),
    ],
)
def test_a_file_of_ours_gives_images_to_boxes(system, options, tmp_path, rng):
    """What `keras-pvt detect` finds in an image, in pixels of what the model saw of it."""
    backbone = keras_pvt.PVTBackbone(TINY, (None, None, 3), include_preprocessing=True)
    model = system(backbone, 3, **options)
    perturb(model)
    detector = Detector(model, "keras_pvt", ["a", "b", "c"], (64, 96))
    detector.save(tmp_path / "detector.keras")
    Image.fromarray(rng.integers(0, 256, (64, 96, 3)).astype("uint8")).save(tmp_path / "image.png")
    (found,) = detector.detect([tmp_path / "image.png"], 1, keep_images=True)
    whole, size, _ = sources.load(str(tmp_path / "detector.keras"))
    assert size == (64, 96)
    expected = whole.predict_on_batch(found.image[None].astype("float32"))
    count = int(expected["num_detections"][0])
    assert count == len(found.boxes) > 0
    np.testing.assert_allclose(expected["boxes"][0, :count], found.boxes, atol=0.02)
    np.testing.assert_array_equal(expected["classes"][0, :count], found.labels)
    assert ("masks" in expected) == (system is MaskRCNN)


def saved(library, folder):
    """A detector's file, with weights that find boxes of all sizes and scores."""
    pytest.importorskip(library)
    backbone = PVTBackbone(TINY, input_shape=(*SIZE, 3), include_preprocessing=True)
    model, _ = retinanet(library, backbone, 3, anchor_size=16)
    perturb(model)
    path = folder / "detector.keras"
    Detector(model, library, ["a", "b", "c"], SIZE).save(path)
    return path


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(3).uniform(0, 255, (2, *SIZE, 3)).astype("float32")


def predictions(detector, images):
    with without_input_warning():
        return keras.Model.predict(detector.model, images, verbose=0)


def check(found, expected):
    """Boxes to a hundredth of a pixel, all else exactly, but for the order of like scores."""
    assert expected["num_detections"].min() > 5
    names = ("confidence", "classes", "boxes")
    orders = [
        ranks(*(one[name][image] for one in (found, expected) for name in names))
        for image in range(len(expected["boxes"]))
    ]
    ordered = {
        name: np.stack([found[name][n][order] for n, order in enumerate(orders)]) for name in names
    }
    found = found | ordered
    np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=0.01)
    np.testing.assert_allclose(found["confidence"], expected["confidence"], atol=1e-4)
    for name in ("classes", "num_detections"):
        np.testing.assert_array_equal(found[name], expected[name])


# KerasHub's detector compiles itself, and Keras cannot do it again.
@pytest.mark.one_backend("libraries have tests of backends themselves", full=True)
@pytest.mark.filterwarnings("ignore:`compile\\(\\)` was not called:UserWarning")
@pytest.mark.parametrize("library", LABEL_KEYS)
def test_boxes_are_those_of_the_library(library, tmp_path, images):
    detector = Detector.load(saved(library, tmp_path))
    expected = predictions(detector, images)
    assert np.ptp(expected["confidence"]) > 0.1
    assert len(np.unique(expected["classes"])) > 1
    model = serving_model(detector)
    model.save(tmp_path / "serving.keras")  # as the backend that writes gets it
    loaded = keras.saving.load_model(tmp_path / "serving.keras", compile=False, safe_mode=True)
    for one in (model, loaded):
        found = one(images)
        check({key: keras.ops.convert_to_numpy(value) for key, value in found.items()}, expected)


@pytest.mark.full("detectors of two libraries, built twice")
@pytest.mark.skipif(BACKEND == "jax", reason="compiling takes long")
@pytest.mark.parametrize("library", LABEL_KEYS)
def test_half_precision_is_exported_in_float32(library, tmp_path, images):
    single = Detector.load(saved(library, tmp_path))
    keras.config.set_dtype_policy("mixed_bfloat16")
    backbone = PVTBackbone(TINY, input_shape=(*SIZE, 3), include_preprocessing=True)
    model, _ = retinanet(library, backbone, 3, anchor_size=16)
    model.set_weights(single.model.get_weights())
    half = Detector(model, library, single.classes, SIZE)
    keras.config.set_dtype_policy("float32")
    exported = named(serving_model(half))
    assert not half_precision(exported)
    found = {name: keras.ops.convert_to_numpy(value) for name, value in exported(images).items()}
    check(found, predictions(single, images))


@pytest.mark.full("writes a detector")
@pytest.mark.skipif(BACKEND == "jax", reason="does not write")
def test_a_file_of_ours_is_exported_at_the_size_of_its_training(tmp_path, capsys):
    """Without --size: at any other torch's file would not run."""
    backbone = keras_pvt.PVTBackbone(SHALLOW, (None, None, 3), include_preprocessing=True)
    model = RetinaNet(backbone, 3, neck_width=12, head_depth=1)
    perturb(model)
    source, path = tmp_path / "detector.keras", tmp_path / f"model{FORMATS[FORMAT].suffix}"
    Detector(model, "keras_pvt", ["a", "b", "c"], SIZE).save(source)
    assert main(["export", str(source), "--format", FORMAT, "--out", str(path)]) == 0
    out = capsys.readouterr().out
    assert "num_detections" in out
    assert "size 64x96, as it was trained" in out
    assert "x 64 x 96 x 3" in out


@pytest.mark.full("writes a detector of a library")
@pytest.mark.skipif(BACKEND != "tensorflow", reason="torch's exporter takes half a minute")
def test_a_file_is_exported(tmp_path, images, capsys):
    source, path = saved("keras_hub", tmp_path), tmp_path / "model.tflite"
    assert main(["export", str(source), "--format", "tflite", "--out", str(path)]) == 0
    out = capsys.readouterr().out
    assert "num_detections" in out
    assert "images 1 x 64 x 96 x 3" in out
    expected = predictions(Detector.load(source), images)
    run = runtimes.load("tflite", path)
    answers = [run(image[None]) for image in images]
    check({key: np.concatenate([one[key] for one in answers]) for key in answers[0]}, expected)
    names = operators(path)
    assert "WHILE" in names
    assert not [name for name in names if name.startswith(("Flex", "CUSTOM"))]


@pytest.mark.one_backend("test_exporting.py writes each format")
def test_anchored_boxes_in_a_graph(tmp_path, rng):
    cells = keras.Input((6, 5, 4))
    layer = AnchoredBoxes(30, "center_yxhw", (0.1, 0.1, 0.2, 0.2), name="boxes")
    model = keras.Model(cells, layer(keras.layers.Reshape((-1, 4))(cells)))
    layer.anchors.assign(rng.uniform(5, 90, (30, 4)))
    path = tmp_path / f"model{FORMATS[FORMAT].suffix}"
    keras_pvt.export(model, path, FORMAT, batch_size=2, verify=False)
    offsets = rng.standard_normal((2, 6, 5, 4)).astype("float32")
    found = runtimes.load(FORMAT, path)(offsets)["boxes"]
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(model(offsets)), rtol=1e-4)


@pytest.mark.one_backend("a layer of few operations")
@pytest.mark.parametrize("encoding", ["center_xywh", "center_yxhw"])
def test_anchored_boxes(encoding):
    layer = AnchoredBoxes(1, encoding, (0.1, 0.2, 0.3, 0.4))
    order = [0, 1, 2, 3] if encoding == "center_xywh" else [1, 0, 3, 2]
    layer.anchors.assign(np.array([[50.0, 30, 20, 10]])[:, order])  # x, y, width, height
    offsets = np.array([[[5.0, -5, np.log(2) / 0.3, np.log(4) / 0.4]]], "float32")
    found = keras.ops.convert_to_numpy(layer(offsets))
    moved = [60, 20, 40, 40] if encoding == "center_xywh" else [30, 35, 80, 20]
    x, y, width, height = moved
    corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    np.testing.assert_allclose(found[0, 0], corners, rtol=1e-5)
    with pytest.raises(ValueError, match="'xyxy'"):
        AnchoredBoxes(1, "xyxy")
