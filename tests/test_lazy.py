"""Packages whose names are imported when they are asked for."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.one_backend("imports no backend, or in a process of its own")

# By the command's name, for which `import keras_pvt` imports nothing else.
AS_COMMAND = "import sys; sys.argv = ['/usr/bin/keras-pvt']\n"


def run(code):
    done = subprocess.run([sys.executable, "-c", AS_COMMAND + code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_package_imports_no_more_than_is_asked_for():
    run(
        "from keras_pvt import classification, conversion, detection, segmentation, training\n"
        "from keras_pvt.training import data\n"
        "detection.load_coco, detection.Sample, segmentation.LabelRule, segmentation.draw_labels\n"
        "data.FolderImages, training.data, training.augmentation, conversion.read_checkpoint\n"
        "assert 'keras' not in sys.modules\n"
        "assert 'Sample' in vars(detection) and 'Detector' not in vars(detection)\n"
    )


def test_a_name_may_be_a_module_and_others_are_none():
    from keras_pvt import detection
    from keras_pvt.detection.ops import boxes, nms
    from keras_pvt.utils.lazy import importer

    get = importer("keras_pvt.detection", {"ops.boxes": (), "ops.nms": ("NonMaxSuppression",)})
    assert get("boxes") is boxes
    assert get("NonMaxSuppression") is nms.NonMaxSuppression
    for name in ("ops", "nms", "Boxes"):
        with pytest.raises(
            AttributeError, match=f"'keras_pvt.detection' has no attribute '{name}'"
        ):
            get(name)
    with pytest.raises(AttributeError, match="no attribute 'Detectors'"):
        detection.Detectors  # noqa: B018
