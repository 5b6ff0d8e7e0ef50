"""What `weights=` takes."""

import logging
import types

import numpy as np
import pytest
from conftest import TINY, perturb

import keras_pvt
from keras_pvt import variants, weights
from keras_pvt.conversion import CheckpointError, save_checkpoint, to_torch

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


def test_each_rule_is_one_line(checkpoint, caplog):
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        keras_pvt.classifier(
            TINY, weights=checkpoint, classes=3, input_shape=(64, 64, 1), name="mine"
        )
    assert [record.getMessage() for record in caplog.records] == [
        "mine: the checkpoint's head has 7 classes, the model 3: the new head is untrained",
        "mine: the first convolution was adapted from RGB to 1 input channels",
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
