"""What docs/detection.md and the README show of our detectors, run on small images."""

import re

import pytest
from scripts import ROOT

import keras_pvt
from keras_pvt import conversion
from keras_pvt.detection import RetinaNet

pytestmark = pytest.mark.one_backend("runs the examples of pages", full=True)

# Small, and as good as Mask R-CNN for what is shown.
SMALL = "RetinaNet(backbone, 80, 16, 1)"


@pytest.mark.parametrize("page", ["docs/detection.md", "README.md"])
def test_the_page_runs(page, rng, tmp_path):
    blocks = re.findall("```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "MaskRCNN" in block)
    backbone = keras_pvt.PVTBackbone("pvt_nano")
    model = RetinaNet(backbone, 80, 16, 1)
    conversion.save_checkpoint(conversion.to_torch(model), tmp_path / "detector.safetensors")
    code = re.sub(r"MaskRCNN\(backbone.*?\)", SMALL, code).replace("pvt_small", "pvt_nano")
    code = re.sub(r'"mask_rcnn_\w*.pth"', repr(str(tmp_path / "detector.safetensors")), code)
    names = {
        "images": rng.integers(0, 256, (1, 64, 96, 3)).astype("float32"),
        "keras_pvt": keras_pvt,
        "backbone": backbone,
    }
    exec(code, names)
    assert names["found"]["boxes"].shape == (1, 100, 4)
    assert type(names["model"]) is RetinaNet
