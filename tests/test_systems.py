"""The records of the systems."""

import dataclasses

import keras
import pytest
from conftest import assert_same, perturb

import keras_pvt
from keras_pvt import systems
from keras_pvt.cli import main
from keras_pvt.conversion import read_checkpoint, save_checkpoint, to_torch

CODE = ("model", "from_arrays", "options", "cost", "recipe", "build", "trainer", "serve")


@pytest.mark.parametrize("system", systems.SYSTEMS.values(), ids=list(systems.SYSTEMS))
def test_what_a_record_names_exists(system):
    for field in CODE:
        assert getattr(system, field) is None or callable(system.load(field)), field
    for names in system.names.values():
        assert callable(systems.resolve(names.key_map))


def test_models_say_which_system_they_are():
    for name, system in systems.SYSTEMS.items():
        if system.names:
            assert system.load("model").system == name


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="there is a system 'detr' already"):
        systems.register(dataclasses.replace(systems.SYSTEMS["detr"]))
    with pytest.raises(ValueError, match="no system 'fcos'; there are classifier, backbone"):
        systems.named("fcos")


# Small ones, whose widths their checkpoints tell.
SMALL = {
    "semantic_fpn": {"neck_width": 12, "head_width": 8},
    "trans2seg": {"embed_dim": 16, "depth": 1, "num_heads": 2, "head_width": 8},
    "retinanet": {"neck_width": 12, "head_depth": 1},
    "mask_rcnn": {"neck_width": 12, "head_width": 24},
    "detr": {"embed_dim": 32, "num_heads": 1, "depth": 1, "num_queries": 3, "hidden_dim": 24},
}


@pytest.mark.one_backend("the command line")
@pytest.mark.parametrize("name", systems.SYSTEMS)
def test_the_command_converts_it_both_ways(name, tmp_path):
    system = systems.SYSTEMS[name]
    if system.names:
        backbone = keras_pvt.PVTBackbone("pvt_nano", (64, 64, 3))
        model = system.load("model")(backbone, 5, **SMALL[name])
    else:
        model = system.load("model")("pvt_nano")
    perturb(model)
    state = to_torch(model)
    source, there, back = (str(tmp_path / f) for f in ("a.safetensors", "b.keras", "c.npz"))
    save_checkpoint(state, source)
    assert main(["convert", source, there]) == 0
    assert main(["convert", there, back]) == 0
    assert_same(read_checkpoint(back), state)
    loaded = keras.saving.load_model(there)
    assert type(loaded) is type(model)
    assert_same(to_torch(loaded), state)
