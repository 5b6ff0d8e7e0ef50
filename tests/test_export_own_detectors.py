"""RetinaNet, DETR and Mask R-CNN, exported with what makes boxes of their outputs inside."""

import pathlib

import keras
import numpy as np
import pytest
from conftest import SHALLOW, perturb
from PIL import Image
from test_tflite import operators

import keras_pvt
from keras_pvt import runtimes
from keras_pvt.detection import DETR, MaskRCNN, RetinaNet
from keras_pvt.detection.ops import roi_align
from keras_pvt.exporting.subject import named
from keras_pvt.formats import FORMATS
from keras_pvt.ops import BACKEND

CLASSES = 3
SIZE = (72, 104)
PHOTOS = pathlib.Path(__file__).parents[1] / "examples" / "images"
# Format, and the batch that it is exported for.
WRITTEN = {
    "tensorflow": [("saved_model", None), ("tflite", 1)],
    "torch": [("onnx", None)],
    "jax": [("tflite", 1)],  # another process writes
}
CASES = [
    (system, format, batch)
    for system in ("retinanet", "detr", "mask_rcnn")
    for format, batch in WRITTEN[BACKEND]
    if (system, BACKEND) != ("mask_rcnn", "jax")  # compiling takes long
]


@pytest.fixture(scope="module")
def detectors(photos):
    """Models of any size that end in boxes, by weights that find boxes of all classes."""
    retinanet = RetinaNet(keras_pvt.PVTBackbone(SHALLOW), CLASSES, 12, 1)
    detr = DETR(
        keras_pvt.PVTBackbone(SHALLOW),
        CLASSES,
        num_queries=20,
        embed_dim=16,
        depth=1,
        num_heads=2,
        hidden_dim=24,
        padded=False,
    )
    mask_rcnn = MaskRCNN(keras_pvt.PVTBackbone(SHALLOW), CLASSES, 12, 24, anchor_side=4)
    perturb(mask_rcnn)
    rng = np.random.default_rng(5)
    for model, scale in ((retinanet, 0.015), (detr, 3)):
        perturb(model)
        head = model.get_layer("class_logits")
        head.kernel.assign(scale * rng.standard_normal(head.kernel.shape))
        head.bias.assign(np.zeros(head.bias.shape))
    # Queries that differ, and of whose classes none is likelier than all others.
    queries = detr.get_layer("queries").table
    queries.assign(4 * rng.standard_normal(queries.shape))
    logits = keras.ops.convert_to_numpy(detr(photos)["class_logits"])
    head.bias.assign(-logits.mean(axis=(0, 1, 2)))
    return {
        "retinanet": retinanet.detector(),
        "detr": detr.detector(),
        "mask_rcnn": mask_rcnn.detector(proposals=90),
    }


@pytest.fixture(scope="module")
def photos():
    height, width = SIZE
    return keras_pvt.preprocess_input(
        np.stack(
            [
                np.asarray(Image.open(PHOTOS / name).convert("RGB").resize((width, height)))
                for name in ("cat.jpg", "horses.jpg")
            ]
        )
    )


@pytest.mark.one_backend("names are given before a format is written")
def test_levels_of_a_head_have_a_name_each():
    """Formats have no dictionaries in dictionaries."""
    model = RetinaNet(keras_pvt.PVTBackbone(SHALLOW), CLASSES, 12, 1)
    outputs = named(model).output
    assert set(outputs) == {
        f"{head}_P{level}" for head in ("class_logits", "box_deltas") for level in range(3, 8)
    }
    assert outputs["box_deltas_P4"] is model.output["box_deltas"]["P4"]


@pytest.mark.full("writes three detectors in each format")
@pytest.mark.parametrize(("system", "format", "batch"), CASES)
def test_artifact_finds_what_its_model_finds(
    system, format, batch, detectors, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr(roi_align, "CELLS", 2**17)  # less than all boxes have: a few at a time
    path = tmp_path / f"model{FORMATS[format].suffix}"
    model = detectors[system]
    exported = keras_pvt.export(model, path, format, size=SIZE, batch_size=batch, verify=False)
    assert exported.input_shape == (batch, *SIZE, 3)
    run = runtimes.load(format, path)
    answers = [run(images) for images in ((photos[:1], photos[1:]) if batch == 1 else (photos,))]
    expected = {name: keras.ops.convert_to_numpy(value) for name, value in model(photos).items()}
    assert expected["num_detections"].min() > 10
    assert len(np.unique(expected["classes"])) > 1
    assert np.ptp(expected["confidence"]) > 0.05
    found = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
    assert found.keys() == expected.keys() - {"labels"}  # the classes once more
    np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=0.01)
    np.testing.assert_allclose(found["confidence"], expected["confidence"], atol=1e-4)
    if "masks" in expected:
        assert np.ptp(expected["masks"]) > 0.5
        np.testing.assert_allclose(found["masks"], expected["masks"], atol=1e-4)
    for name in ("classes", "num_detections"):
        np.testing.assert_array_equal(found[name], expected[name])
    if format == "tflite":
        names = operators(path)
        assert not [name for name in names if name.startswith(("Flex", "CUSTOM"))]
