"""What `weights=` takes."""

import logging
import types

import numpy as np
import pytest
from conftest import TINY, assert_same, perturb

import keras_pvt
from keras_pvt import variants, weights
from keras_pvt.classification.predictor import FileClassifier
from keras_pvt.conversion import CheckpointError, load_checkpoint, save_checkpoint, to_torch
from keras_pvt.exporting.sources import load as load_source
from keras_pvt.systems import SYSTEMS
from keras_pvt.training import load_recipe

pytestmark = pytest.mark.one_backend("reads files")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    model = keras_pvt.classifier(TINY)
    perturb(model)
    path = tmp_path_factory.mktemp("weights") / "tiny.npz"
    save_checkpoint(to_torch(model), path)
    return path


def test_a_path_in_a_constructor(checkpoint, caplog):
    model = keras_pvt.classifier(TINY, weights=checkpoint)
    with np.load(checkpoint) as state:
        np.testing.assert_array_equal(to_torch(model)["head.weight"], state["head.weight"])
    pyramid = keras_pvt.PVTBackbone(TINY, weights=str(checkpoint))
    np.testing.assert_array_equal(
        to_torch(pyramid)["block4.0.mlp.fc2.bias"], to_torch(model)["block4.0.mlp.fc2.bias"]
    )
    assert not caplog.records


NONE = (None, "none", "None", "NONE", "")


@pytest.mark.parametrize("none", NONE)
def test_none_is_none_everywhere(none, monkeypatch, tmp_path):
    """In Python, in recipes and in what commands call: nothing is looked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "none").write_text("a trap")
    monkeypatch.setattr(weights, "find", lambda *_: pytest.fail("weights are looked for"))
    keras_pvt.PVTNano(weights=none)
    keras_pvt.classifier(TINY, weights=none)
    keras_pvt.PVTBackbone(TINY, weights=none)
    if none is None:  # which stands for the variant's own in commands, as does no --weights
        return
    assert isinstance(FileClassifier.load("pvt_nano", none), FileClassifier)
    model, *_ = load_source("pvt_nano", none)
    assert model.count_params() == keras_pvt.PVTNano(weights=None).count_params()
    for name in ("finetune", "retinanet_finetune", "mask_rcnn_finetune", "semantic_fpn_finetune"):
        recipe = load_recipe(name, weights=none, variant="pvt_nano")
        model, backbone = SYSTEMS[recipe.system].load("build")(recipe, 3)
        assert model.count_params() >= backbone.count_params() > 0


def test_a_file_of_several_parts_is_told_once(tmp_path, caplog):
    torch = pytest.importorskip("torch")
    state = {
        key: torch.from_numpy(array) for key, array in to_torch(keras_pvt.classifier(TINY)).items()
    }
    torch.save({"model": state, "model_ema": state}, tmp_path / "x.pth")
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        keras_pvt.classifier(TINY, weights=tmp_path / "x.pth")
    assert len(caplog.records) == 1
    assert "model_ema is read, and not model" in caplog.records[0].getMessage()


def test_each_rule_is_one_line(checkpoint, caplog):
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        keras_pvt.classifier(
            TINY, weights=checkpoint, classes=3, input_shape=(64, 64, 1), name="mine"
        )
    assert [record.getMessage() for record in caplog.records] == [
        "mine: the head of 3 classes is new and untrained; the checkpoint's has 7, and "
        "classes=7 takes the checkpoint's",
        "mine: the first convolution was adapted from RGB to 1 input channels",
    ]


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    """A PVTNano for five classes, and its file."""
    model = keras_pvt.PVTNano(weights=None, classes=5)
    perturb(model)
    path = tmp_path_factory.mktemp("weights") / "five.pth"
    save_checkpoint(to_torch(model), path)
    return model, path


def test_the_number_of_classes_is_the_files(five, caplog):
    model, path = five
    again = keras_pvt.PVTNano(weights=path)
    assert_same(to_torch(again), to_torch(model))
    assert not caplog.records
    assert keras_pvt.PVTNano().output_shape == (None, 10)
    assert keras_pvt.PVTNano(weights=None).output_shape == (None, 10)
    pyramid = keras_pvt.PVTBackbone("pvt_nano")
    save_checkpoint(to_torch(pyramid), path.with_suffix(".npz"))
    with caplog.at_level(logging.WARNING, "keras_pvt"), pytest.raises(CheckpointError):
        keras_pvt.PVTNano(weights=path.with_suffix(".npz"))  # there is no head, nor a class token


def test_another_number_of_classes_is_said(five, caplog):
    _, path = five
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        assert keras_pvt.PVTNano(weights=path, classes=7).output_shape == (None, 7)
    (record,) = caplog.records
    assert "head of 7 classes is new and untrained; the checkpoint's has 5" in record.getMessage()
    assert "classes=5 takes the checkpoint's" in record.getMessage()
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(keras_pvt.PVTNano(weights=None), path)
    assert str(error.value).splitlines()[2:] == [
        "  the checkpoint has 5 classes, the model 10: pass classes=5",
        "  `keras-pvt info FILE` says what a file is",
    ]


def test_names_of_the_table(monkeypatch, tmp_path):
    """A name is looked up, whatever files lie about; `url` says where it comes from."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet").write_text("a trap")
    fetched = []

    def fetch(variant, name):
        fetched.append((variant, name))
        return tmp_path / "fetched.pth"

    import keras_pvt.download

    monkeypatch.setattr(keras_pvt.download, "fetch", fetch)
    assert weights.find("pvt_tiny", "imagenet") == tmp_path / "fetched.pth"
    assert fetched == [("pvt_tiny", "imagenet")]
    facts = types.SimpleNamespace(url=None)
    monkeypatch.setitem(variants.WEIGHTS, ("pvt_nano", "ours"), facts)
    assert weights.find("pvt_nano", "ours") == weights.BUNDLED / "pvt_nano_ours.safetensors"


@pytest.mark.parametrize(
    ("variant", "name", "message"),
    [
        ("pvt_tiny", "imagnet", r"'imagnet' is no file.*pvt_tiny: the names are 'imagenet'"),
        ("pvt_tiny", "/no/such.pth", r"no file"),
        (TINY, "imagenet", r"a configuration of your own: the names are none"),
    ],
)
def test_neither_name_nor_file(variant, name, message):
    with pytest.raises(ValueError, match=message):
        weights.find(variant, name)


def test_a_file_that_does_not_fit(tmp_path, checkpoint):
    with np.load(checkpoint) as state:
        partly = {key: array for key, array in state.items() if key != "norm.bias"}
    save_checkpoint(partly, tmp_path / "x.npz")
    with pytest.raises(
        CheckpointError, match=r"x\.npz does not fit model 'pvt':\n  1 missing: norm"
    ):
        keras_pvt.classifier(TINY, weights=tmp_path / "x.npz")
