"""What docs/segmentation.md and the README show, run on small images."""

import re

import numpy as np
import pytest
from scripts import ROOT

pytestmark = pytest.mark.one_backend("runs the examples of pages", full=True)


@pytest.mark.parametrize("page", ["docs/segmentation.md", "README.md"])
def test_the_page_runs(page, rng):
    blocks = re.findall("```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "SemanticFPN" in block)
    if page == "README.md":  # which has made the backbone before
        code = f'import keras_pvt\nbackbone = keras_pvt.PVTBackbone("pvt_nano")\n{code}'
    for there, here in {
        '"pvt_tiny", weights="imagenet"': '"pvt_nano"',
        '"pvt_small"': '"pvt_nano"',
        "512": "64",
        "num_classes=150": "num_classes=5",
    }.items():
        code = code.replace(there, here)
    names = {"image": rng.integers(0, 256, (70, 100, 3)).astype("uint8")}
    exec(code, names)
    labels = names["labels"]
    assert (labels.shape, labels.dtype) == ((70, 100), np.uint8)
    assert labels.max() < names["model"].num_classes
