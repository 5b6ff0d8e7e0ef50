"""What wrappers put before the keys: taken off where what remains fits, and said."""

import itertools
import logging

import numpy as np
import pytest
from conftest import TINY, V2, assert_same, perturb

import keras_pvt
from keras_pvt.cli import main
from keras_pvt.conversion import (
    CheckpointError,
    load_checkpoint,
    model_from_checkpoint,
    recognised,
    save_checkpoint,
    to_torch,
)
from keras_pvt.conversion.prefixes import WORDS, candidates, common
from keras_pvt.detection import DETR, RetinaNet
from keras_pvt.segmentation import SemanticFPN

pytestmark = pytest.mark.one_backend("moves arrays of weights")

PREFIXES = [
    *WORDS,
    "backbone.bottom_up.",
    "model.backbone.",
    "module._orig_mod.",
    "_orig_mod.module.model.net.encoder.",
]


def perturbed(model):
    perturb(model)
    return model


@pytest.fixture(scope="module", params=[TINY, V2], ids=["pvt", "pvt_v2"])
def classifier(request):
    return perturbed(keras_pvt.classifier(request.param))


@pytest.fixture(scope="module")
def systems_of_all():
    backbone = keras_pvt.PVTBackbone(TINY)
    return {
        "retinanet": perturbed(RetinaNet(backbone, 5, 12, 1)),
        "semantic_fpn": perturbed(SemanticFPN(keras_pvt.PVTBackbone(TINY), 5, 12, 8)),
        "detr": perturbed(DETR(keras_pvt.PVTBackbone(TINY), 5, 7, 16, depth=1, hidden_dim=24)),
    }


def under(prefix, state, **others):
    wrapped = {f"{prefix}{key}": array for key, array in state.items()}
    return wrapped | {key: np.zeros(3, "float32") for key in others}


def emptied(model):
    model.set_weights([np.full(weight.shape, 0.25) for weight in model.get_weights()])
    return model


@pytest.mark.parametrize("prefix", PREFIXES)
def test_taken_off_and_said(classifier, prefix):
    state = dict(to_torch(classifier))
    report = load_checkpoint(emptied(classifier), under(prefix, state))
    assert_same(to_torch(classifier), state)
    assert report.notices == [f"the prefix {prefix!r} before the keys is taken off"]
    assert not report.skipped


@pytest.mark.parametrize("layout", ["huggingface", "mmdetection"])
@pytest.mark.parametrize("prefix", ["model.", "net.encoder."])
def test_of_other_layouts(classifier, layout, prefix):
    backbone = perturbed(keras_pvt.PVTBackbone(classifier_row(classifier)))
    owner = classifier if layout == "huggingface" else backbone
    wanted = dict(to_torch(owner))
    state = under(prefix, to_torch(owner, layout))
    report = load_checkpoint(emptied(owner), state)
    assert_same(to_torch(owner), wanted)
    assert f"{prefix!r}" in report.notices[0]


def classifier_row(model):
    from keras_pvt.families import config_of

    return config_of(model)


@pytest.mark.parametrize("name", ["retinanet", "semantic_fpn", "detr"])
@pytest.mark.parametrize("prefix", ["", "model.", "module.", "_orig_mod.module."])
def test_of_systems(systems_of_all, name, prefix):
    """ "backbone." is theirs: a wrapper's words are taken off before it, and it stays."""
    model = systems_of_all[name]
    wanted = dict(to_torch(model))
    for layout in ("official", "facebook", "huggingface") if name == "detr" else ("official",):
        state = under(prefix, to_torch(model, layout))
        report = load_checkpoint(emptied(model), state)
        assert_same(to_torch(model), wanted)
        assert len(report.notices) == bool(prefix)
        pyramid = keras_pvt.PVTBackbone(TINY)
        skipped = load_checkpoint(pyramid, state).skipped
        assert "not part of the backbone" in set(skipped.values())
        kept = {key: wanted[f"backbone.{key}"] for key in to_torch(pyramid)}
        assert_same(dict(to_torch(pyramid)), kept)


def test_what_lies_beside_is_counted_and_named(classifier, systems_of_all):
    state = dict(to_torch(classifier))
    beside = {"criterion.weight": 0, "ema.decay": 0}
    report = load_checkpoint(classifier, under("model.", state, **beside))
    assert report.skipped == dict.fromkeys(beside, "not part of the backbone")
    model = systems_of_all["retinanet"]
    report = load_checkpoint(model, under("model.", to_torch(model), **beside))
    assert report.skipped.items() >= dict.fromkeys(beside, "not part of the model").items()
    assert len(report.skipped) == 3  # and the row of a class token, which official code has


def test_a_decoder_is_left_and_said(classifier):
    pyramid = keras_pvt.PVTBackbone(classifier_row(classifier))
    state = under("encoder.", to_torch(classifier), **{"decoder.0.weight": 0, "top.bias": 0})
    report = load_checkpoint(pyramid, state)
    assert report.skipped["decoder.0.weight"] == "not part of the backbone"
    assert report.skipped["top.bias"] == "not part of the backbone"


@pytest.mark.parametrize("prefix", ["", "module."])
def test_buffers_of_mmcv_are_left_out(classifier, prefix):
    """Its EMAHook names them by the keys, with underscores for dots."""
    state = dict(to_torch(classifier))
    buffers = {f"ema_{key.replace('.', '_')}": 2 * array for key, array in state.items()}
    report = load_checkpoint(emptied(classifier), under(prefix, state | buffers))
    assert_same(to_torch(classifier), state)
    assert report.skipped.keys() == {f"{prefix}{key}" for key in buffers}
    assert recognised(state | buffers).prefix == ""


@pytest.mark.parametrize("prefix", ["visual.", "student.model.", "model.visual."])
def test_another_prefix_is_shown(classifier, prefix):
    with pytest.raises(CheckpointError) as raised:
        load_checkpoint(classifier, under(prefix, to_torch(classifier)))
    assert f"every key begins with {prefix!r}, which is no wrapper's: take" in str(raised.value)


def test_what_remains_has_to_fit(classifier):
    """Of another network nothing is taken off, and the error shows how its keys begin."""
    state = {f"model.layer{n}.weight": np.ones(3, "float32") for n in range(9)}
    with pytest.raises(CheckpointError, match=r"9 unexpected: model\.layer0.*\n.*'model\.', and"):
        load_checkpoint(classifier, state)
    assert "every key begins with 'model.'" in recognised(state).unknown


def test_a_few_names_do_not_make_a_network(classifier):
    """A head under a shorter prefix is not taken for the model."""
    state = under("backbone.", to_torch(classifier))
    state |= {"net.head.weight": np.ones((3, 28), "float32"), "net.norm.bias": np.ones(28)}
    report = load_checkpoint(classifier, state)
    assert set(report.skipped) == {"net.head.weight", "net.norm.bias"}


@pytest.mark.parametrize("prefix", ["module.", "model.backbone.bottom_up."])
def test_in_constructors_and_on_the_command_line(prefix, tmp_path, caplog, capsys):
    model = perturbed(keras_pvt.classifier("pvt_nano"))
    path, dest = tmp_path / "x.npz", tmp_path / "y.npz"
    save_checkpoint(under(prefix, to_torch(model), **{"loss.weight": 0}), path)
    with caplog.at_level(logging.WARNING, logger="keras_pvt"):
        again = keras_pvt.PVTNano(weights=path)
    assert f"the prefix {prefix!r} before the keys is taken off" in caplog.text
    assert_same(to_torch(again), dict(to_torch(model)))
    made, report = model_from_checkpoint(recognised(dict(np.load(path))))
    assert_same(to_torch(made), dict(to_torch(model)))
    assert report.skipped == {"loss.weight": "not part of the backbone"}
    assert main(["convert", str(path), str(dest)]) == 0
    said = capsys.readouterr().out
    assert f"the prefix {prefix!r} before the keys is taken off" in said
    assert "skipped loss.weight: not part of the backbone" in said


def test_words():
    keys = ["model.net.a", "model.b", "c"]
    assert candidates(keys) == ["model.", "model.net."]
    assert candidates(["model." * 100 + "a"])[-1] == "model." * 6
    assert common(["model.net.a", "model.net.b"]) == "model.net."
    assert common(["model", "modem"]) == ""
    assert all(not a.startswith(b) for a, b in itertools.permutations(WORDS, 2))
