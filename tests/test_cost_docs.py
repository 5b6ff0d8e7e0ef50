"""What docs/cost.md says beside its tables, and the program that draws its figure.

That the tables are current is tested with those of other documents.
"""

import pathlib
import subprocess
import sys

import pytest
from PIL import Image

from keras_pvt import flops
from keras_pvt.variants import VARIANTS

pytestmark = pytest.mark.one_backend("counts from configurations")

ROOT = pathlib.Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "cost.md").read_text()


def small_over_resnet(side):
    small = flops.total(flops.classifier(VARIANTS["pvt_small"], side, side))
    return small.multiply_adds / flops.total(flops.resnet50(side, side)).multiply_adds


def test_what_is_said_of_the_figure():
    assert "cross near 384" in DOCUMENT
    assert small_over_resnet(384) == pytest.approx(1, abs=0.01)
    assert f"costs {small_over_resnet(640) - 1:.0%} more".replace("%", " %") in DOCUMENT


@pytest.mark.full("a process that draws; test_package.py compares the tables")
def test_program_draws_and_prints_the_table(tmp_path):
    picture = tmp_path / "growth.png"
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "plot_input_scale.py", "--out", picture],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout in DOCUMENT
    with Image.open(picture) as drawn, Image.open(ROOT / "docs" / "input_scale.png") as shown:
        assert drawn.size == shown.size
        assert len(drawn.convert("RGB").getcolors(10**6)) > 50
