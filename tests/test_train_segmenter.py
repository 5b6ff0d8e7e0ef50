"""`keras-pvt train` for segmenters: it learns, and names bad input."""

import dataclasses
import json
import re

import keras
import numpy as np
import pytest
from PIL import Image
from scripts import load_script
from segmentation_data import write_pairs

from keras_pvt import training
from keras_pvt.cli import main
from keras_pvt.recipes.files import load
from keras_pvt.recipes.segmentation import SegmentationRecipe
from keras_pvt.segmentation import Predictor, TrainedSegmenter
from keras_pvt.systems import SYSTEMS
from keras_pvt.variants import VARIANTS

pytestmark = pytest.mark.one_backend(
    "a run around a step that test_every_system.py takes", full=True
)

CLASSES = ("left", "right")
# Of the recipe for CamVid what a CPU need not wait for.
SMALL = [
    "--variant=pvt_nano", "--neck-width=16", "--head-width=8", "--batch-size=4", "--warm-up=0.3333",
    "--size=32x48", "--scale-to=", "--evaluate-size=0", "--no-flip",
    "--backend-strategy=none", "--steps=12", "--evaluate-every=6", "--drop-path=0.2",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Dark on the left and bright on the right, with the edge somewhere; the top is ignored."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(7)
    for part, count in (("train", 8), ("val", 3)):
        for kind in ("", "_labels"):
            (folder / f"{part}{kind}").mkdir()
        for n in range(count):
            labels = np.zeros((40, 56), "uint8")
            labels[:, rng.integers(20, 36) :] = 1
            image = np.where(labels, 200, 50)[..., None] + rng.integers(-30, 30, (40, 56, 3))
            labels[:4] = 11
            Image.fromarray(image.astype("uint8")).save(folder / part / f"{n}.png")
            Image.fromarray(labels).save(folder / f"{part}_labels" / f"{n}.png")
    (folder / "classes.txt").write_text("\n".join(CLASSES))
    return folder


def words(data, out, *more):
    return ["train", "semantic_fpn_camvid", f"--data={data}", f"--out={out}", *SMALL, *more]


@pytest.mark.parametrize(
    "system",
    [
        "semantic_fpn",
        pytest.param("trans2seg", marks=pytest.mark.one_backend("as the other")),
    ],
)
@pytest.mark.full("trains for seconds; test_every_system.py has a step of each")
def test_it_learns(data, tmp_path, capsys, system):
    more = [f"--system={system}", "--steps=36", "--evaluate-every=18", "--learning-rate=0.01"]
    assert main(words(data, tmp_path, *more)) == 0
    shown = capsys.readouterr().out
    assert f"{system} on pvt_nano, 8 images of 2 classes, 3 to validate on; 36 steps" in shown
    best = float(re.search(r"val mIoU ([\d.]+)", shown)[1])
    assert best > 0.8
    rows = training.read_history(tmp_path / "history.csv")
    assert [row["epoch"] for row in rows] == [0, 1]
    assert best == pytest.approx(max(row["mIoU"] for row in rows), abs=1e-4)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert {f"IoU {name}" for name in CLASSES} < set(rows[0])
    for name in ("curves", "sheet"):
        assert np.asarray(Image.open(tmp_path / f"{name}.png")).std() > 1
    evaluator = load_script("examples/evaluate_segmenter.py")
    assert evaluator.main([*map(str, [tmp_path / "model.keras", "--data", data, "--json"]),
                           "--ignore", "11"]) == 0  # fmt: skip
    measured = json.loads(capsys.readouterr().out)
    assert measured["mIoU"] == pytest.approx(best, abs=1e-4)
    trained = TrainedSegmenter.load(tmp_path / "model.keras")
    assert trained.classes == CLASSES
    image = np.full((40, 56, 3), 50, "uint8")
    image[:, 30:] = 200
    found = Predictor(trained.model).labels(image)
    assert found.shape == (40, 56)
    assert (found[8:, :20] == 0).mean() > 0.9
    assert (found[8:, 40:] == 1).mean() > 0.9


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--steps=10"], "--steps must be a multiple of --evaluate-every; got 10 and 6"),
        (["--system=unet"], "--system must be one of semantic_fpn, trans2seg; got 'unet'"),
        (["--ignore=void"], "--ignore must be ids such as 0,255; got 'void'"),
        (["--classes=256"], "--classes must be 1 to 255, or 0; got 256"),
        (["--smallest-scale=3"], "--smallest-scale must not be above --largest-scale"),
        (["--data=absent"], "absent"),
        (["--data="], "--data is needed"),
        (["--weights=absent.pth"], "absent.pth"),
        pytest.param(
            ["--optimizer=adamw", "--learning-rate=1e30"],
            "the loss is nan",
            marks=pytest.mark.one_backend("what the run says"),
        ),
    ],
)
def test_bad_options(data, tmp_path, capsys, more, message):
    """One line, and no result."""
    assert main(words(data, tmp_path / "out", *more)) == 1
    errors = capsys.readouterr().err.strip().split("\n")
    assert message in errors[-1]
    assert not (tmp_path / "out" / "model.keras").exists()


@pytest.mark.one_backend("what the run says")
def test_what_is_wrong_with_the_data_is_said_first(data, tmp_path, capsys):
    assert main(words(data, tmp_path, "--classes=1", "--limit-steps=1")) == 0
    lines = capsys.readouterr().out.split("\n")
    assert re.match("train: 8 x .*0.png", lines[0])
    assert re.match("val: 3 x .*0.png", lines[1])


@pytest.mark.one_backend("what the run says")
def test_classes_without_a_pixel_are_named(tmp_path, capsys):
    """Masks as most tools write them: 0 and 255, which is the number that is ignored."""
    data = tmp_path / "data"
    masks = {str(n): np.where(np.arange(48) < 20 + n, 0, 255)[None].repeat(32, 0) for n in range(4)}
    write_pairs(data / "images", data / "masks", masks)
    (data / "classes.txt").write_text("background\npolyp\n")
    more = ["--steps=1", "--evaluate-every=1", "--batch-size=2"]
    assert main(words(data, tmp_path / "out", *more)) == 0
    shown = capsys.readouterr().out
    assert "train: 1 of 2 classes have no pixel and are not learnt: polyp\n" in shown
    assert "the labels hold 0 and 255 alone, and 255 is ignored" in shown
    assert "write 1 in its place" in shown


@pytest.mark.full("as of a classifier")
@pytest.mark.one_backend("as of a classifier")
def test_a_run_is_extended_by_steps(data, tmp_path, capsys, monkeypatch):
    """And what could not be measured is measured before."""
    assert main(words(data, tmp_path, "--steps=6")) == 0
    capsys.readouterr()
    assert main(words(data, tmp_path, "--steps=12")) == 1
    error = capsys.readouterr().err
    assert "was started with steps 6, now it is 12; add --extend and more --steps to train" in error
    with monkeypatch.context() as patch:
        patch.setattr("keras_pvt.segmentation.evaluation.Confusion.results", _fails)
        assert main(words(data, tmp_path, "--steps=12", "--extend")) == 1
    assert "no space" in capsys.readouterr().err
    assert main(words(data, tmp_path, "--steps=12", "--extend")) == 0
    rows = training.read_history(tmp_path / "history.csv")
    assert [row["epoch"] for row in rows] == [0, 1]
    assert json.loads((tmp_path / "settings.json").read_text())["extended"] == [
        {"after_epoch": 1, "steps": 6}
    ]


def _fails(*_):
    raise OSError("no space")


@pytest.mark.one_backend("the choice of rates")
def test_the_head_has_a_rate_of_its_own(data, tmp_path):
    """In the first step of AdamW, each weight moves by its rate."""
    more = ["--optimizer=adamw", "--head-rate=10", "--steps=1", "--evaluate-every=1",
            "--schedule=poly", "--learning-rate=1e-4", "--weight-decay=0"]  # fmt: skip
    assert main(words(data, tmp_path / "moved", *more)) == 0
    settings = json.loads((tmp_path / "moved" / "settings.json").read_text())
    names = {field.name for field in dataclasses.fields(SegmentationRecipe)}
    fields = {name: value for name, value in settings.items() if name in names}
    fields["classes"] = 0  # where the settings have their names
    recipe = SegmentationRecipe(**fields)
    keras.utils.set_random_seed(recipe.seed)
    model, _ = SYSTEMS[recipe.system].load("build")(recipe, 2)
    before = {variable.path: np.array(variable) for variable in model.trainable_variables}
    moved = TrainedSegmenter.load(tmp_path / "moved" / "model.keras").model
    steps = {
        variable.path: np.abs(np.array(variable) - before[variable.path]).max()
        for variable in moved.trainable_variables
        if variable.path.endswith("kernel")
        and "attention" not in variable.path  # whose gradients are nearly 0, as those of biases
    }
    for path, step in steps.items():
        inside = path.startswith("stage")
        assert step == pytest.approx(1e-4 if inside else 1e-3, rel=0.05), path


def test_the_official_recipes():
    """Values of whai362/PVT segmentation/configs/sem_fpn/PVT, and of PVT, section 5.3."""
    released, paper, trans2seg = (
        load(name)
        for name in ("semantic_fpn_ade20k", "semantic_fpn_ade20k_paper", "trans2seg_ade20k_paper")
    )
    assert (released.batch_size, released.steps, released.learning_rate) == (32, 40000, 2e-4)
    assert (paper.batch_size, paper.steps, paper.learning_rate) == (16, 80000, 1e-4)
    assert (trans2seg.batch_size, trans2seg.steps, trans2seg.system) == (16, 40000, "trans2seg")
    for recipe in (released, paper):
        assert (recipe.weight_decay, recipe.decay_all, recipe.schedule) == (1e-4, True, "poly")
        assert (recipe.base, recipe.evaluate_size, recipe.max_share) == ((2048, 512), 512, 0.75)
        assert (recipe.sides(), recipe.reduce_zero) == ((512, 512), True)
        assert (recipe.variant in VARIANTS, recipe.drop_path) == (True, 0.1)
