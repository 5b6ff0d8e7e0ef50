"""The key map against the official key sets, and against the variables of real models."""

import json

import keras
import pytest
import recipe
from conftest import LINEAR, TINY, V2

import keras_pvt
from keras_pvt.conversion.maps.entries import classifier_map
from keras_pvt.families import FAMILIES
from keras_pvt.variants import VARIANTS

CASES = [
    (name, layout)
    for name, config in VARIANTS.items()
    for layout in (*FAMILIES[config.family].layouts, "keras")
]
pytestmark = pytest.mark.one_backend("maps names")

PAPER = [name for name in VARIANTS if (recipe.GOLDEN / "state_dicts" / f"{name}.json").exists()]


@pytest.mark.parametrize("name", PAPER)
def test_official_keys_in_official_order(name):
    official = list(json.loads((recipe.GOLDEN / "state_dicts" / f"{name}.json").read_text()))
    ours = [key for entry in classifier_map(VARIANTS[name], "official") for key in entry.torch]
    assert ours == official


def test_the_papers_variants_have_goldens():
    assert len(PAPER) == 4 + 7


@pytest.mark.parametrize(("name", "layout"), CASES)
def test_every_key_and_path_once(name, layout):
    entries = classifier_map(VARIANTS[name], layout)
    for side in ("torch", "keras"):
        words = [word for entry in entries for word in getattr(entry, side)]
        assert len(words) == len(set(words))


@pytest.mark.parametrize(
    ("config", "layout"),
    [
        (config, layout)
        for config in (TINY, V2, LINEAR)
        for layout in (*FAMILIES[config.family].layouts, "keras")
    ],
)
def test_every_variable_of_a_model_has_its_entry(config, layout):
    model = keras_pvt.classifier(config, drop_rate=0.1, drop_path_rate=0.1)
    paths = {path for entry in classifier_map(config, layout) for path in entry.keras}
    pyramid = {v.path for v in keras_pvt.PVTBackbone(config).variables}
    if layout in ("mmdetection", "timm_features"):  # of backbones alone
        assert paths == pyramid
    else:
        assert paths == {v.path for v in model.variables if "seed_generator" not in v.path}
        assert paths > pyramid


@pytest.mark.parametrize("config", [TINY, V2, LINEAR])
def test_stored_numbers_are_those_that_keras_writes(tmp_path, config):
    """The order in which layers make their variables, read from a file of Keras's."""
    from keras_pvt.conversion import read_checkpoint

    model = keras_pvt.classifier(config)
    model.save_weights(tmp_path / "m.weights.h5")
    stored = read_checkpoint(tmp_path / "m.weights.h5")
    variables = {v.path: v for v in model.variables}
    entries = classifier_map(config, "keras")
    assert {entry.torch[0] for entry in entries} == stored.keys()
    for entry in entries:
        value = keras.ops.convert_to_numpy(variables[entry.keras[0]].value)
        assert (stored[entry.torch[0]] == value).all()
