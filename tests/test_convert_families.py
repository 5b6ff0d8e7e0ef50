"""Which family, variant or other network a file is of; and files for the wrong one."""

import argparse
import dataclasses
import logging

import numpy as np
import pytest
import recipe
from conftest import LINEAR, TINY, V2, assert_same, perturb

import keras_pvt
from keras_pvt import variants
from keras_pvt.classification.predictor import FileClassifier
from keras_pvt.cli import convert as command
from keras_pvt.cli import main
from keras_pvt.conversion import (
    CheckpointError,
    load_checkpoint,
    model_from_checkpoint,
    read_checkpoint,
    recognised,
    save_checkpoint,
    to_torch,
)
from keras_pvt.conversion.maps.entries import classifier_map
from keras_pvt.conversion.recognise import likely_variant, look_alike, twin
from keras_pvt.families import named
from keras_pvt.variants import LOOK_ALIKES, VARIANTS

pytestmark = pytest.mark.one_backend("reads names and shapes")

ROWS = {
    "tiny": TINY,
    "tiny_deep": dataclasses.replace(TINY, depths=(1, 2, 3, 1)),
    "tiny_v2": dataclasses.replace(V2, depths=(1, 2, 2, 1)),
    "tiny_v2_li": dataclasses.replace(LINEAR, depths=(1, 2, 2, 1)),
}


@pytest.fixture
def rows(monkeypatch):
    """Small variants, which differ as those of the papers do."""
    for name, row in ROWS.items():
        monkeypatch.setitem(VARIANTS, name, row)
    return ROWS


def official(config, fill=0.0):
    """An official checkpoint of one number, which takes no memory."""
    shapes = named(config.family).load("shapes")(config)
    return {key: np.broadcast_to(np.float32(fill), shape) for key, shape in shapes.items()}


def in_layout(config, layout):
    """The same by the names of a layout."""
    state, variables = official(config), {}
    for entry in classifier_map(config, "official"):
        arrays = entry.layout.to_keras(*(state[key] for key in entry.torch))
        variables |= dict(zip(entry.keras, arrays, strict=True))
    return {
        key: array
        for entry in classifier_map(config, layout)
        for key, array in zip(
            entry.torch, entry.layout.to_torch(*(variables[path] for path in entry.keras)),
            strict=True,
        )
    }  # fmt: skip


def without_head(state, config, layout):
    heads = {"official": "head.", "timm": "head.", "huggingface": "classifier.",
             "kecam": "predictions/"}  # fmt: skip
    left_out = heads.get(layout, "none ")
    return {key: array for key, array in state.items() if not key.startswith(left_out)}


NAMES = ["pvt_nano", "pvt_tiny", "pvt_small", "pvt_v2_nano", "pvt_v2_b0", "pvt_v2_b1", "pvt_v2_b2",
         "pvt_v2_b2_li"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "layout"),
    [(name, layout) for name in NAMES for layout in named(VARIANTS[name].family).layouts],
)
def test_variants_are_told_in_every_layout(name, layout):
    state = in_layout(VARIANTS[name], layout)
    for file in (state, without_head(state, VARIANTS[name], layout)):
        assert recognised(file)[1:3] == (None, name)
    detector = {f"backbone.{key}": array for key, array in file.items()}
    assert layout == "kecam" or recognised(detector).variant == name


@pytest.mark.parametrize("family", ["pvt", "pvt_v2"])
def test_bare_trunks_of_transformers_are_told(family):
    name = "pvt_tiny" if family == "pvt" else "pvt_v2_b0"
    state = in_layout(VARIANTS[name], "huggingface")
    bare = {key.split(".", 1)[1]: a for key, a in state.items() if key.startswith("pvt")}
    assert next(iter(bare)).startswith("encoder.")
    assert recognised(bare).variant == name


@pytest.mark.parametrize("layout", ["official", "mmdetection"])
def test_neither_widths_nor_ratios_of_another_are_taken(layout):
    row = VARIANTS["pvt_v2_b0"]
    for changes in (
        {"embed_dims": (32, 64, 160, 320), "num_heads": (1, 2, 5, 8)},
        {"mlp_ratios": (8, 8, 8, 4)},
        {"sr_ratios": (4, 4, 2, 1)},
        {"patch_sizes": (7, 5, 3, 3)},
    ):
        state = in_layout(dataclasses.replace(row, **changes), layout)
        assert likely_variant(state) is None, changes
    assert likely_variant(in_layout(row, layout)) == "pvt_v2_b0"


# ---- files for the wrong model


WRONG = [
    ("tiny", "tiny_v2", "this looks like tiny, of PVT, and the model is tiny_v2, of PVTv2"),
    ("tiny_v2", "tiny", "this looks like tiny_v2, of PVTv2, and the model is tiny, of PVT"),
    (
        "tiny_v2",
        "tiny_v2_li",
        "this looks like tiny_v2, and the model is tiny_v2_li: linear False, not True",
    ),
    (
        "tiny_v2_li",
        "tiny_v2",
        "this looks like tiny_v2_li, and the model is tiny_v2: linear True, not False",
    ),
    (
        "tiny_deep",
        "tiny",
        "this looks like tiny_deep, and the model is tiny: depths (1, 2, 3, 1), not (1, 2, 2, 1)",
    ),
]


@pytest.mark.parametrize(("file", "model", "line"), WRONG)
@pytest.mark.parametrize("kind", ["classifier", "backbone"])
@pytest.mark.parametrize("layout", ["official", "mmdetection", "huggingface", "timm", "kecam"])
def test_the_right_variant_is_named_in_one_line(rows, file, model, line, kind, layout):
    if layout not in named(ROWS[file].family).layouts:
        pytest.skip("PVT is in no such layout")
    build = {"classifier": keras_pvt.classifier, "backbone": keras_pvt.PVTBackbone}[kind]
    built = build(model)
    before = [np.array(weight) for weight in built.get_weights()]
    state = in_layout(ROWS[file], layout)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(built, state, resize_positions=True, new_head=True, adapt_channels=True)
    assert str(caught.value).splitlines()[1:] == [f"  {line}"]
    for weight, old in zip(built.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_a_detector_s_file_names_its_backbone_too(rows):
    from keras_pvt.detection import RetinaNet

    def detector(name):
        return RetinaNet(keras_pvt.PVTBackbone(name), 2, 12, 1, anchor_side=4)

    state = dict(to_torch(detector("tiny")))
    with pytest.raises(CheckpointError, match="\n  this looks like tiny, of PVT, and the model is"):
        load_checkpoint(detector("tiny_v2"), state)


def test_a_row_of_one_s_own_is_named_so(rows):
    own = keras_pvt.PVTBackbone(dataclasses.replace(TINY, sr_ratios=(2, 2, 2, 1)))
    line = r"tiny, and the model is one of its own: sr_ratios \(4, 2, 2, 1\), not \(2, 2, 2, 1\)"
    with pytest.raises(CheckpointError, match=f"this looks like {line}"):
        load_checkpoint(own, official(TINY))


def test_the_papers_own_are_told_apart():
    """B2 and B2-Li share most keys, and PVT-Small has most of B2's."""
    named_ = {name: recognised(official(VARIANTS[name])).variant for name in VARIANTS}
    assert named_ == {name: name for name in VARIANTS}


# ---- networks of others with the same keys


SEGFORMER = ["patch_embed1", "patch_embed2", "patch_embed3", "patch_embed4", "block1", "norm1",
             "block2", "norm2", "block3", "norm3", "block4", "norm4", "head"]  # fmt: skip


def mit(n, head=True):
    """A checkpoint of MiT-Bn by its shapes, in the order in which SegFormer's code writes it."""
    state = official(LOOK_ALIKES[n].config)
    modules = SEGFORMER if head else SEGFORMER[:-1]
    return {
        key: array for module in modules for key, array in state.items()
        if key.startswith(f"{module}.")
    }  # fmt: skip


# From NVlabs/SegFormer, mmseg/models/backbones/mix_transformer.py.
MIT = {
    0: ((2, 2, 2, 2), (32, 64, 160, 256)),
    1: ((2, 2, 2, 2), (64, 128, 320, 512)),
    2: ((3, 4, 6, 3), (64, 128, 320, 512)),
    3: ((3, 4, 18, 3), (64, 128, 320, 512)),
    4: ((3, 8, 27, 3), (64, 128, 320, 512)),
    5: ((3, 6, 40, 3), (64, 128, 320, 512)),
}


def test_rows_of_segformer():
    assert [other.name for other in LOOK_ALIKES] == [f"mit_b{n}" for n in MIT]
    for n, (depths, widths) in MIT.items():
        row = LOOK_ALIKES[n].config
        assert (row.depths, row.embed_dims) == (depths, widths)
        assert row.mlp_ratios == (4, 4, 4, 4)
        assert (row.num_heads, row.sr_ratios) == ((1, 2, 5, 8), (8, 4, 2, 1))
    values = sum(array.size for array in mit(5, head=False).values())
    assert values == 81_443_008  # as dense PVTv2-B5


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("n", range(5))
def test_segformer_s_files_are_named(n, head):
    state = mit(n, head)
    found = recognised(state)
    assert found.variant is None
    assert found.look_alike.title == f"SegFormer's MiT-B{n}"
    assert recognised({f"backbone.{key}": array for key, array in state.items()}).look_alike
    theirs = in_layout(LOOK_ALIKES[n].config, "mmdetection")  # mmsegmentation's names
    assert recognised(theirs).look_alike == LOOK_ALIKES[n]
    with pytest.raises(CheckpointError, match=f"this is SegFormer's MiT-B{n}, which has the keys"):
        model_from_checkpoint(found)
    assert look_alike(official(VARIANTS[f"pvt_v2_b{n}"])) is None


def test_b5_is_named_by_its_order_alone():
    ours = official(VARIANTS["pvt_v2_b5"])
    for state in (mit(5), mit(5, head=False)):
        assert {key: array.shape for key, array in state.items()}.items() <= {
            key: array.shape for key, array in ours.items()
        }.items()
        assert recognised(state)[2:5] == ("pvt_v2_b5", None, None)
        assert twin(state).title == "SegFormer's MiT-B5"
    sorted_ = {key: ours[key] for key in sorted(ours)}  # as in a .safetensors file
    for state in (ours, sorted_, in_layout(VARIANTS["pvt_v2_b5"], "timm"), mit(4)):
        assert twin(state) is None


@pytest.fixture
def mit_b0(tmp_path):
    state = {key: recipe.tensor(key, array.shape) for key, array in mit(0).items()}
    save_checkpoint(state, tmp_path / "mit_b0.pth")
    return tmp_path / "mit_b0.pth", state


def test_segformer_s_file_is_loaded_into_a_row_of_one_s_own_only(mit_b0):
    path, state = mit_b0
    for build in (keras_pvt.classifier, keras_pvt.PVTBackbone):
        with pytest.raises(CheckpointError) as caught:
            build("pvt_v2_b0", weights=path)
        assert str(caught.value).splitlines()[1:] == [
            "  this is SegFormer's MiT-B0, which has the keys of pvt_v2_b0 with mlp_ratios="
            "(4, 4, 4, 4) and other weights; it is loaded into a model of such a PVTConfig of your "
            "own",
            "  `keras-pvt info FILE` says what a file is",
        ]
    own = dataclasses.replace(VARIANTS["pvt_v2_b0"], mlp_ratios=(4, 4, 4, 4))
    backbone = keras_pvt.PVTBackbone(own, weights=path)
    again = to_torch(backbone)
    for key, array in again.items():
        np.testing.assert_array_equal(array, state[key])
    # What is ours says what it is.
    save_checkpoint(again, path.with_suffix(".safetensors"))
    found = recognised(read_checkpoint(path.with_suffix(".safetensors")))
    assert (found.look_alike, found.known) == (None, True)


def test_segformer_s_file_is_converted_only_when_asked_for(mit_b0, capsys):
    path, state = mit_b0
    dest = path.with_name("x.npz")
    for asked in ([], ["--variant", "pvt_v2_b0"], ["--set", "backbone.mlp_ratios=4,4,4,4"]):
        assert main(["convert", str(path), str(dest), *asked]) != 0
        error = capsys.readouterr().err.strip()
        assert error.endswith(
            "this is SegFormer's MiT-B0, which has the keys of pvt_v2_b0 and other weights; "
            "`--variant pvt_v2_b0 --set backbone.mlp_ratios=4,4,4,4` takes it as what it is."
        )
        assert not dest.exists()
    asked = ["--variant", "pvt_v2_b0", "--set", "backbone.mlp_ratios=4,4,4,4"]
    assert main(["convert", str(path), str(dest), *asked]) == 0
    out = capsys.readouterr().out
    assert "SegFormer's MiT-B0, " in out
    assert "pvt_v2_b0" not in out
    assert_same(dict(sorted(read_checkpoint(dest).items())), dict(sorted(state.items())))


@pytest.fixture
def twins(monkeypatch):
    """A small network of others with the very shapes of a variant."""
    monkeypatch.setitem(VARIANTS, "tiny_v2", ROWS["tiny_v2"])
    other = dataclasses.replace(
        LOOK_ALIKES[5], title="Another's Tiny", variant="tiny_v2", row={"mlp_ratios": (3, 2, 4, 2)}
    )
    from keras_pvt.conversion import recognise

    monkeypatch.setattr(recognise, "LOOK_ALIKES", (other,))


def test_a_twin_is_loaded_with_a_word(twins, tmp_path, caplog, capsys):
    model = keras_pvt.classifier("tiny_v2")
    perturb(model)
    state = to_torch(model)
    save_checkpoint(state, tmp_path / "ours.pth")
    theirs = {key: state[key] for module in SEGFORMER for key in state
              if key.startswith(f"{module}.")}  # fmt: skip
    save_checkpoint(theirs, tmp_path / "theirs.pth")
    word = "this may be Another's Tiny, which has the keys and shapes of tiny_v2"
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        keras_pvt.classifier("tiny_v2", weights=tmp_path / "ours.pth")
        assert not caplog.records
        assert_same(
            to_torch(keras_pvt.classifier("tiny_v2", weights=tmp_path / "theirs.pth")), state
        )
    (record,) = caplog.records
    assert word in record.getMessage()
    for name, said in (("ours", False), ("theirs", True)):
        assert main(["convert", str(tmp_path / f"{name}.pth"), str(tmp_path / "x.npz")]) == 0
        assert (word in capsys.readouterr().out) == said


# ---- the command


@pytest.mark.parametrize("layout", ["timm", "huggingface", "kecam", "official"])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".h5"])
def test_converts_b0_there_and_back(tmp_path, capsys, layout, suffix):
    if (suffix == ".h5") != (layout == "kecam"):
        pytest.skip("an .h5 file is kecam's")
    model = keras_pvt.classifier("pvt_v2_nano", weights=None)
    perturb(model)
    state = to_torch(model)
    source, there, back = (str(tmp_path / name) for name in ("a.npz", f"b{suffix}", "c.npz"))
    save_checkpoint(state, source)
    asked = [] if suffix == ".h5" else ["--layout", layout]
    assert main(["convert", source, there, *asked]) == 0
    assert "pvt_v2_nano, " in capsys.readouterr().out
    assert set(read_checkpoint(there)) == set(to_torch(model, layout))
    assert main(["convert", there, back]) == 0
    assert_same(read_checkpoint(back), state)


@pytest.mark.parametrize("name", ["pvt_nano", "pvt_v2_nano"])
def test_converts_mmdetection_s_backbones(tmp_path, name):
    backbone = keras_pvt.PVTBackbone(name)
    perturb(backbone)
    there, back = (str(tmp_path / file) for file in ("a.npz", "b.npz"))
    save_checkpoint(to_torch(backbone, "mmdetection"), there)
    assert main(["convert", there, back]) == 0
    assert_same(read_checkpoint(back), to_torch(backbone))


def test_layouts_of_both_families_can_be_asked_for():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    (layout,) = (action for action in parser._actions if action.dest == "layout")
    assert list(layout.choices) == [
        "official", "huggingface", "mmdetection", "timm", "timm_features", "kecam", "facebook",
    ]  # fmt: skip


# ---- weights of ImageNet-22k


def test_weights_of_imagenet_22k_are_for_backbones():
    facts = variants.WEIGHTS["pvt_v2_b5", "imagenet22k"]
    assert facts.url.endswith("/v2/pvt_v2_b5_22k.pth")
    assert facts.classes is None
    assert variants.default_name("pvt_v2_b5") == "imagenet"
    with pytest.raises(ValueError, match="nobody said which classes the weights 'imagenet22k'"):
        FileClassifier.load("pvt_v2_b5", "imagenet22k")


def test_hashes_that_are_known():
    known = {name: facts.sha256 for (name, _), facts in variants.WEIGHTS.items() if facts.sha256}
    assert {name: sha256[:8] for name, sha256 in known.items()} == {
        "pvt_v2_b0": "fbb931ad",
        "pvt_v2_b2": "80711cd1",
    }
    assert all(len(sha256) == 64 for sha256 in known.values())


def of_22k(rows, config=V2):
    """A checkpoint of a small PVTv2 with a head of so many rows."""
    shapes = named(config.family).load("shapes")(config)
    if rows is None:
        shapes = {key: shape for key, shape in shapes.items() if not key.startswith("head.")}
    else:
        shapes |= {"head.weight": (rows, config.embed_dims[3]), "head.bias": (rows,)}
    return {key: recipe.tensor(key, shape) for key, shape in shapes.items()}


@pytest.fixture
def published(server, cached, monkeypatch, tmp_path):
    """Serve a checkpoint as the weights "imagenet22k" of "pvt_test"."""
    monkeypatch.setitem(VARIANTS, "pvt_test", V2)
    url = f"{server.url}/v2/pvt_test_22k.pth"
    facts = variants.Weights("a test", url, None, classes=None, top1=None)
    monkeypatch.setitem(variants.WEIGHTS, ("pvt_test", "imagenet22k"), facts)

    def serve(state):
        save_checkpoint(state, tmp_path / "served.pth")
        server.content = (tmp_path / "served.pth").read_bytes()

    return serve


@pytest.mark.parametrize("rows", [50, 7, None])
def test_22k_into_a_backbone(published, server, cached, rows, caplog):
    state = of_22k(rows)
    published(state)
    for _ in range(2):
        backbone = keras_pvt.PVTBackbone("pvt_test", weights="imagenet22k")
        for key, array in to_torch(backbone).items():
            np.testing.assert_array_equal(array, state[key])
    assert server.requests == [("/v2/pvt_test_22k.pth", None)]
    assert cached.with_name("pvt_test_22k.pth.sha256").exists()
    assert not caplog.records


def test_22k_into_a_classifier_is_a_new_head_with_a_word(published, caplog):
    state = of_22k(50)
    published(state)
    with caplog.at_level(logging.WARNING, "keras_pvt"):
        model = keras_pvt.classifier("pvt_test", weights="imagenet22k")
    assert model.output_shape == (None, 7)
    (record,) = caplog.records
    assert (
        "the head of 7 classes is new and untrained; the checkpoint's has 50" in record.getMessage()
    )
    np.testing.assert_array_equal(to_torch(model)["norm4.bias"], state["norm4.bias"])
    whole = keras_pvt.classifier("pvt_test", weights="imagenet22k", classes=50)
    np.testing.assert_array_equal(to_torch(whole)["head.bias"], state["head.bias"])
    with pytest.raises(ValueError, match="nobody said which classes"):
        FileClassifier.load("pvt_test", "imagenet22k")


@pytest.mark.parametrize("config", [LINEAR, dataclasses.replace(V2, depths=(1, 2, 1, 1)), TINY])
def test_another_trunk_is_no_22k(published, cached, config):
    published(of_22k(50, config))
    with pytest.raises(OSError, match="tensors are missing, unexpected or of another shape"):
        keras_pvt.PVTBackbone("pvt_test", weights="imagenet22k")
    assert not cached.with_name("pvt_test_22k.pth").exists()


def test_other_weights_still_need_their_head(server, cached, monkeypatch, tmp_path):
    monkeypatch.setitem(VARIANTS, "pvt_test", V2)
    save_checkpoint(of_22k(50), tmp_path / "served.pth")
    server.content = (tmp_path / "served.pth").read_bytes()
    with pytest.raises(OSError, match=r"such as head\.bias"):
        keras_pvt.PVTBackbone("pvt_test", weights="imagenet")


def test_a_layout_of_another_family_is_named_for_a_path_too(rows, tmp_path, capsys):
    """Where the number of classes is looked up before there is a model."""
    model = keras_pvt.classifier("tiny_v2")
    save_checkpoint(to_torch(model, "timm"), tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match="this looks like tiny_v2, of PVTv2, and the mod"):
        keras_pvt.classifier("tiny", weights=tmp_path / "x.pth")
    asked = ["convert", str(tmp_path / "x.pth"), str(tmp_path / "x.npz"), "--variant", "pvt_tiny"]
    assert main(asked) != 0
    assert "PVT is in no timm layout" in capsys.readouterr().err
