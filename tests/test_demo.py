"""The demo, with small weights from a file, and where the download cannot be had."""

import json
import re

import keras
import numpy as np
import pytest
from PIL import Image
from scripts import ROOT, load_script

import keras_pvt
from keras_pvt.classification.decoding import class_table
from keras_pvt.conversion import save_checkpoint, to_torch
from keras_pvt.detection.data.coco import load_coco
from keras_pvt.detection.evaluation import average_precision

pytestmark = pytest.mark.one_backend("a script around models that other tests compare", full=True)

EXAMPLES = ROOT / "examples"
IMAGES = sorted((EXAMPLES / "images").glob("*.jpg"))


@pytest.fixture(scope="module")
def demo():
    return load_script("examples/classify_images.py")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    keras.utils.set_random_seed(1)
    path = tmp_path_factory.mktemp("weights") / "nano.safetensors"
    names = [name for _, name in class_table("cifar10")]
    save_checkpoint(to_torch(keras_pvt.PVTNano(weights=None)), path, classes=names)
    return path


def test_prints_and_draws_every_photograph(demo, weights, capsys, tmp_path):
    picture = tmp_path / "demo.png"
    demo.main(["--variant", "pvt_nano", "--weights", str(weights), "--out", str(picture)])
    out = capsys.readouterr().out
    for image in IMAGES:
        assert image.name in out
    assert out.count("%") == 5 * len(IMAGES)
    assert str(picture) in out
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5000


def alike(first, second) -> bool:
    """Whether two pictures show the same: letters may differ a little from version to version."""
    blocks = [
        np.asarray(Image.open(path).convert("RGB").reduce(8), int) for path in (first, second)
    ]
    return blocks[0].shape == blocks[1].shape and abs(blocks[0] - blocks[1]).max() < 40


@pytest.mark.parametrize("picture", ["demo.png", "demo_detection.png"])
def test_the_readme_shows_what_the_demo_draws_and_prints(picture, capsys, tmp_path):
    """In its last digit a number may differ, from backend to backend."""
    tool = load_script("tools/make_pictures.py")
    (program, *words), _ = tool.DEMOS[picture]
    load_script(program).main([*words, "--out", str(tmp_path / picture)])
    assert alike(tmp_path / picture, ROOT / "docs" / picture)
    shown = tool.described((ROOT / "README.md").read_text(), picture).split(": ", 1)[1]
    printed = tool.summary(capsys.readouterr().out)
    number = r"\d+\.\d"
    assert re.split(number, shown) == re.split(number, printed)
    for one, other in zip(*(re.findall(number, text) for text in (shown, printed)), strict=True):
        assert abs(float(one) - float(other)) < 0.11


def test_offline_says_so_in_one_line_and_goes_on(demo, weights, capsys, tmp_path, monkeypatch):
    """With the bundled weights; another file stands in for them here."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KERAS_PVT_WEIGHTS_URL", str(tmp_path / "nothing here"))
    monkeypatch.setattr(demo, "BUNDLED", ("pvt_nano", str(weights)))
    demo.main([str(IMAGES[0]), "--out", str(tmp_path / "demo.png")])
    first, second, third, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("pvt_tiny's weights cannot be had (")
    assert (second, third) == ("", IMAGES[0].name)
    assert (tmp_path / "demo.png").exists()


def test_photographs_are_small_and_their_sources_named():
    sources = (EXAMPLES / "images" / "SOURCES.md").read_text()
    assert 4 <= len(IMAGES) <= 8
    for image in IMAGES:
        assert image.stat().st_size < 60_000
        assert f"`{image.name}`" in sources


@pytest.fixture(scope="module")
def cells():
    return load_script("examples/detect_cells.py")


def test_cells_are_found_and_drawn(cells, capsys, tmp_path):
    picture = tmp_path / "cells.png"
    cells.main(["--out", str(picture)])
    out = capsys.readouterr().out
    for name in ("BloodImage_00035.jpg: ", "BloodImage_00125.jpg: "):
        assert name in out
    assert str(picture) in out
    pixels = np.asarray(Image.open(picture).convert("RGB"))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5000


def test_the_bundled_detector_finds_most_cells(cells):
    """On two validation images; docs/bccd.md has the figure of all 87."""
    detector = cells.load()
    data = load_coco(cells.CELLS / "cells.json", cells.CELLS, detector.classes)
    found = list(detector.detect([sample.path for sample in data.samples], 2))
    assert average_precision(data, found)["AP50"] > 0.86
    assert cells.WEIGHTS.stat().st_size < 6e6


def notebook_cells() -> list[dict]:
    notebook = json.loads((EXAMPLES / "quickstart.ipynb").read_text("utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_has_no_outputs():
    for cell in notebook_cells():
        assert cell["outputs"] == []
        assert cell["execution_count"] is None


# Keras and TensorFlow, of which the export is, warn about each other.
@pytest.mark.full("trains and exports")
@pytest.mark.filterwarnings("default")
def test_the_notebook_runs_from_top_to_bottom(monkeypatch, capsys):
    plots = pytest.importorskip("matplotlib.pyplot")
    plots.switch_backend("agg")
    monkeypatch.chdir(ROOT)
    names: dict = {"__name__": "__main__"}
    for cell in notebook_cells():
        exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    plots.close("all")
    out = capsys.readouterr().out
    assert "22 cells" in out
    assert float(re.search(r"top-1 of the exported file: ([\d.]+)", out)[1]) > 0.9
