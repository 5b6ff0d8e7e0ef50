"""The records of the systems."""

import dataclasses

import pytest

from keras_pvt import systems

CODE = ("model", "from_arrays", "cost", "recipe", "build", "trainer", "serve")


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
