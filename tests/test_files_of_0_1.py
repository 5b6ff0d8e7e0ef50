"""Files that version 0.1.0 wrote, one of each system, load and answer as they did then."""

import io
import pathlib
import zipfile

import keras
import numpy as np
import pytest
from contracts import compiled

from keras_pvt.detection.detector import Detector
from keras_pvt.segmentation.trained import TrainedSegmenter

ARCHIVE = pathlib.Path(__file__).parent / "data" / "files_of_0_1_0.zip"
# One Keras file each; detectors and segmenters with what `keras-pvt` has to know of them.
FILES = {
    "classifier": "classifier.keras",
    "backbone": "backbone.keras",
    "retinanet": "retinanet_trained.keras",
    "mask_rcnn": "mask_rcnn_trained.keras",
    "detr": "detr_trained.keras",
    "semantic_fpn": "semantic_fpn_trained.keras",
    "trans2seg": "trans2seg_trained.keras",
}


@pytest.fixture
def unpacked(tmp_path):
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)
    return tmp_path


@pytest.mark.parametrize("system", FILES)
def test_they_answer_as_they_did(system, unpacked):
    path = unpacked / FILES[system]
    if system in ("retinanet", "mask_rcnn", "detr"):
        detector = Detector.load(path)
        assert (detector.classes, detector.size) == (["square", "bar"], (64, 96))
        model = detector.model
    elif system in ("semantic_fpn", "trans2seg"):
        segmenter = TrainedSegmenter.load(path)
        assert segmenter.classes == ("a", "b", "c")
        model = segmenter.model
    else:
        model = keras.saving.load_model(path, safe_mode=True)
    images = np.random.default_rng(51504).uniform(0, 255, (1, 64, 96, 3)).round().astype("float32")
    sizes = np.array([[64, 96]], "int32")
    answers = _flat(
        compiled(model)({"images": images, "sizes": sizes} if system == "detr" else images)
    )
    with np.load(io.BytesIO((unpacked / f"{system}.npz").read_bytes())) as wanted:
        assert answers.keys() == set(wanted.files)
        for name, answer in answers.items():
            scale = np.abs(wanted[name]).max()
            np.testing.assert_allclose(answer, wanted[name], atol=2e-5 * scale, err_msg=name)


def _flat(answer, prefix="") -> dict:
    """Arrays of a nest of dictionaries, by their keys with slashes between them."""
    if not isinstance(answer, dict):
        return {prefix or "output": keras.ops.convert_to_numpy(answer)}
    flat = {}
    for name, inner in answer.items():
        flat |= _flat(inner, f"{prefix}/{name}" if prefix else name)
    return flat
