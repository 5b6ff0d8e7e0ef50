"""The records of the systems."""

import dataclasses

import keras
import numpy as np
import pytest
from conftest import assert_same, perturb, values

import keras_pvt
from keras_pvt import systems
from keras_pvt.cli import main
from keras_pvt.conversion import (
    CheckpointError,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    to_torch,
)
from keras_pvt.weights import load_whole

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
DENSE = [name for name, system in systems.SYSTEMS.items() if system.names]


def small(name, classes, side=64, **other):
    backbone = keras_pvt.PVTBackbone("pvt_nano", (side, side, 3))
    return systems.SYSTEMS[name].load("model")(backbone, classes, **{**SMALL[name], **other})


def weights(model):
    """Not the states of generators, whose paths are numbered."""
    return {path: array for path, array in values(model).items() if "seed_generator" not in path}


@pytest.mark.one_backend("moves arrays of weights")
@pytest.mark.parametrize("name", DENSE)
def test_a_model_of_other_classes_takes_all_but_what_is_theirs(name):
    source, target = small(name, 5), small(name, 3)
    perturb(source)
    with pytest.raises(CheckpointError, match="mis-shaped"):
        load_checkpoint(target, to_torch(source))
    before = weights(target)
    report = load_checkpoint(target, to_torch(source), new_head=True)
    assert report.notices == ["the head of 3 classes is new and untrained; the checkpoint's has 5"]
    given, after = weights(source), weights(target)
    apart = {path for path in given if given[path].shape != before[path].shape}
    assert apart == {path for path in given if path.startswith(systems.SYSTEMS[name].per_class)}
    for path in after:
        wanted = before if path in apart else given
        np.testing.assert_array_equal(after[path], wanted[path], err_msg=path)


@pytest.mark.one_backend("moves arrays of weights")
@pytest.mark.parametrize("layout", ["official", "huggingface"])
def test_a_detr_of_other_queries_takes_all_but_those(layout):
    source, target = small("detr", 5), small("detr", 5, num_queries=7)
    perturb(source)
    state = to_torch(source, layout)
    with pytest.raises(CheckpointError, match="mis-shaped"):
        load_checkpoint(target, state)
    own = weights(target)["queries/table"]
    report = load_checkpoint(target, state, new_head=True)
    assert report.notices == ["the 7 queries are new and untrained; the checkpoint has 3"]
    kept = [key for key, why in report.skipped.items() if why == "the model keeps its own queries"]
    assert len(kept) == 1
    assert "quer" in kept[0]
    given = weights(source) | {"queries/table": own}
    for path, array in weights(target).items():
        np.testing.assert_array_equal(array, given[path], err_msg=path)
    for table in (state[kept[0]][:2, :16], state[kept[0]].ravel(), state[kept[0]][0, 0]):
        with pytest.raises(CheckpointError, match="1 mis-shaped"):
            load_checkpoint(target, {**state, kept[0]: table}, new_head=True)


@pytest.mark.one_backend("moves arrays of weights")
def test_of_as_many_classes_the_head_is_taken_too():
    source, target = small("mask_rcnn", 4), small("mask_rcnn", 4)
    perturb(source)
    assert not load_checkpoint(target, to_torch(source), new_head=True).notices
    assert_same(to_torch(target), to_torch(source))
    without = {k: v for k, v in to_torch(source).items() if "bbox_head" not in k}
    with pytest.raises(CheckpointError, match=r"roi_head\.bbox_head\.shared_fcs\.0\.weight"):
        load_checkpoint(target, without, new_head=True)


@pytest.mark.one_backend("what is said")
def test_a_head_of_as_many_other_classes_is_taken_and_told(tmp_path, caplog):
    model, file = small("semantic_fpn", 2), tmp_path / "cats.safetensors"
    perturb(model)
    save_checkpoint(to_torch(model), file, classes=("cat", "dog"))
    for classes, said in (
        (("cat", "dog"), ""),
        (None, ""),
        (("dog", "cat"), "class 0 is 'cat' in the checkpoint, and 'dog' in the data"),
        (("cat", "Dog"), "class 1 is 'dog' in the checkpoint, and 'Dog' in the data"),
    ):
        caplog.clear()
        target = small("semantic_fpn", 2)
        load_whole(target, file, classes)
        assert said in caplog.text if said else not caplog.records
        assert_same(to_torch(target), to_torch(model))
    caplog.clear()
    load_whole(small("semantic_fpn", 3), file, ("cat", "dog", "cow"))
    assert [record.args[1] for record in caplog.records] == [
        "the head of 3 classes is new and untrained; the checkpoint's has 2"
    ]


SETTINGS = {
    "semantic_fpn": [{"neck_width": 20}, {"head_width": 16}],
    "trans2seg": [{"embed_dim": 24}, {"depth": 2}, {"side": 96}],
    "retinanet": [{"neck_width": 20}, {"head_depth": 2}],
    "mask_rcnn": [{"head_width": 16}, {"masks": False}],
    "detr": [{"embed_dim": 64}, {"depth": 2}],
}


@pytest.mark.one_backend("what is said")
@pytest.mark.parametrize("name", DENSE)
def test_the_setting_that_does_not_fit_is_named(name, tmp_path):
    """Also of a file that has nothing but weights, and with other numbers of what may differ."""
    file = tmp_path / "x.npz"
    np.savez(file, **to_torch(small(name, 5)))
    for other in SETTINGS[name]:
        target = small(name, 3, **other, **({"num_queries": 7} if name == "detr" else {}))
        before = weights(target)
        with pytest.raises(CheckpointError) as error:
            load_whole(target, file)
        told = str(error.value).removeprefix("built otherwise: ").split(".\n")[0]
        ((setting, value),) = other.items()
        if setting == "side":
            assert told == "image size 64x64 in the checkpoint, 96x96 in the model"
        else:
            theirs = {"masks": True, **SMALL[name]}[setting]
            assert told == f"{setting} {theirs} in the checkpoint, {value} in the model"
        assert_same(weights(target), before)


@pytest.mark.one_backend("what is said")
def test_a_classifier_is_no_detector(tmp_path):
    classifier, detector = keras_pvt.PVTNano(weights=None), small("retinanet", 3)
    for layout in ("official", "huggingface"):  # the detector has no names of the latter
        save_checkpoint(to_torch(classifier, layout), tmp_path / f"{layout}.safetensors")
        with pytest.raises(CheckpointError, match="a classifier or a backbone, pvt_nano, and the"):
            load_whole(detector, tmp_path / f"{layout}.safetensors")
    save_checkpoint(to_torch(detector), tmp_path / "detector.safetensors")
    own = keras_pvt.PVTNano(weights=None, classes=3)
    with pytest.raises(CheckpointError, match="missing: cls_token; norm") as error:
        load_whole(own, tmp_path / "detector.safetensors")
    assert "pass classes" not in str(error.value)  # there is no head


@pytest.mark.one_backend("the command line")
@pytest.mark.parametrize("name", systems.SYSTEMS)
def test_the_command_converts_it_both_ways(name, tmp_path):
    system = systems.SYSTEMS[name]
    model = small(name, 5) if system.names else system.load("model")("pvt_nano")
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
