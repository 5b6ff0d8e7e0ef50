"""`keras-pvt info FILE`: what a file is, and lines that load it."""

import dataclasses
import hashlib
import json
import os
import shlex
import shutil
import sys
import time

import keras
import numpy as np
import pytest
import torch
from conftest import TINY, perturb
from PIL import Image
from processes import run_and_list
from safetensors.numpy import save_file

import keras_pvt
from keras_pvt import inspect_file, systems
from keras_pvt.cli import main
from keras_pvt.conversion import (
    CheckpointError,
    cast,
    describe,
    load_checkpoint,
    read_checkpoint,
    save_checkpoint,
    to_torch,
)
from keras_pvt.detection import DETR, MaskRCNN, RetinaNet
from keras_pvt.segmentation import SemanticFPN, Trans2Seg
from keras_pvt.variants import LOOK_ALIKES, VARIANTS, WEIGHTS

pytestmark = pytest.mark.one_backend("reads files")

NAMES = tuple(f"fish {n}" for n in range(10))


def perturbed(model):
    perturb(model)
    return model


@pytest.fixture(scope="module")
def nano():
    return perturbed(keras_pvt.PVTNano(weights=None))


def tensors(state):
    return {key: torch.from_numpy(np.array(array)) for key, array in state.items()}


def info(capsys, *words) -> dict[str, str]:
    assert main(["info", *map(str, words)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line[:12].strip(): line[12:] for line in lines}


def written(model, folder, kind):
    """A file of each kind, of the same weights."""
    state = to_torch(model)
    path = folder / f"x{kind}"
    if kind in (".safetensors", ".npz"):
        save_checkpoint(state, path)
    elif kind == ".pth":
        torch.save(tensors(state), path)
    elif kind == ".legacy.pth":
        torch.save(tensors(state), path, _use_new_zipfile_serialization=False)
    elif kind == ".bfloat16.safetensors":
        save_checkpoint(cast(dict(state), "bfloat16"), path)
    elif kind == ".safetensors.index.json":
        sharded(dict(state), path)
    elif kind == ".weights.h5":
        model.save_weights(path)
    elif kind == ".weights.json":
        model.save_weights(path, max_shard_size=2e-3)
    else:
        model.save(path)
    return path


def sharded(state, path, shards=3):
    """As transformers cuts a model into files."""
    weight_map = {}
    for n in range(shards):
        name = f"model-{n + 1:05}-of-{shards:05}.safetensors"
        part = {key: state[key] for key in list(state)[n::shards]}
        save_file(part, path.with_name(name))
        weight_map |= dict.fromkeys(part, name)
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))


KINDS = {
    ".pth": ("torch file (zip)", "official"),
    ".legacy.pth": ("torch file (before 1.6)", "official"),
    ".safetensors": (".safetensors file", "official"),
    ".bfloat16.safetensors": (".safetensors file", "official"),
    ".safetensors.index.json": ("list of 3 .safetensors files", "official"),
    ".npz": (".npz file", "official"),
    ".weights.h5": (".weights.h5 file", "keras"),
    ".keras": (".keras file", "keras"),
    ".weights.json": ("list of", "keras"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_of_every_kind(nano, tmp_path, kind, capsys):
    path = written(nano, tmp_path, kind)
    found = inspect_file(path)
    title, layout = KINDS[kind]
    assert found.kind.startswith(title)
    assert (found.system, found.family, found.variant) == ("classifier", "pvt", "pvt_nano")
    assert (found.layout, found.classes, found.image_size) == (layout, 10, 32)
    assert found.parameters == nano.count_params()
    assert found.tensors == len(read_checkpoint(path))
    assert set(found.dtypes) == {"bfloat16" if "bfloat16" in kind else "float32"}
    assert (found.missing, found.unexpected, found.prefix) == ((), (), "")
    assert found.widths["embed_dims"] == VARIANTS["pvt_nano"].embed_dims
    listed = kind.endswith(".json")
    digest = None if listed else hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.sha256 == digest
    rows = info(capsys, path)
    assert rows["variant"] == "pvt_nano"
    assert rows["parameters"] == f"{nano.count_params():,}"
    assert rows["missing"] == rows["unexpected"] == "0"
    assert main(["info", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads(found.as_json())
    assert said["widths"]["depths"] == [1, 2, 2, 1]


def test_a_folder_with_one_list(nano, tmp_path, capsys):
    written(nano, tmp_path, ".safetensors.index.json")
    assert info(capsys, tmp_path)["variant"] == "pvt_nano"
    model = keras_pvt.PVTNano(weights=tmp_path)
    assert not load_checkpoint(model, tmp_path).skipped
    shutil.copy(tmp_path / "x.safetensors.index.json", tmp_path / "y.safetensors.index.json")
    with pytest.raises(IsADirectoryError, match=r"several lists of shards \(x\.safetensors"):
        inspect_file(tmp_path)


def test_a_shard_is_said_to_be_one(nano, tmp_path):
    written(nano, tmp_path, ".safetensors.index.json")
    (tmp_path / "y.weights.json").write_text("{")  # of no matter here
    one = tmp_path / "model-00001-of-00003.safetensors"
    assert "it is a shard, a part of a model; x.safetensors.index.json" in inspect_file(one).note
    assert inspect_file(tmp_path / "x.safetensors.index.json").note is None
    shutil.copy(one, tmp_path / "alone.safetensors")
    assert inspect_file(tmp_path / "alone.safetensors").note is None


@pytest.mark.parametrize("kind", [".pth", ".safetensors", ".keras", ".safetensors.index.json"])
@pytest.mark.parametrize("which", ["classifier", "backbone"])
def test_the_line_of_python_loads_it(nano, tmp_path, kind, which):
    model = nano if which == "classifier" else perturbed(keras_pvt.PVTBackbone("pvt_nano"))
    found = inspect_file(written(model, tmp_path, kind))
    assert found.system == which
    again = eval(found.python, {"keras_pvt": keras_pvt})
    assert [variable.path for variable in again.variables] == [v.path for v in model.variables]
    for theirs, ours in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(theirs, ours)


def run_shell(line, tmp_path, monkeypatch):
    command, *words = shlex.split(line)
    assert command == "keras-pvt"
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 40), "gray").save("IMAGE.png")
    (tmp_path / "NAMES.txt").write_text("".join(f"{name}\n" for name in NAMES))
    return main(["IMAGE.png" if word == "IMAGE" else word for word in words])


@pytest.mark.parametrize("named", [True, False])
def test_the_line_of_the_shell_uses_it(nano, tmp_path, named, monkeypatch):
    folder = tmp_path / "a folder with 'quotes'"
    folder.mkdir()
    path = folder / "x.safetensors"
    save_checkpoint(to_torch(nano), path, classes=NAMES if named else None)
    found = inspect_file(path)
    assert found.names == (NAMES if named else None)
    assert run_shell(found.shell, tmp_path, monkeypatch) == 0


MODELS = {
    "retinanet": lambda pyramid: RetinaNet(pyramid, 5, 12, 1, anchor_side=4.0),
    "mask_rcnn": lambda pyramid: MaskRCNN(pyramid, 5, 12, 16, anchor_side=8.0),
    "detr": lambda pyramid: DETR(pyramid, 5, 7, 64, depth=1, hidden_dim=24),
    "semantic_fpn": lambda pyramid: SemanticFPN(pyramid, 5, 12, 8),
    "trans2seg": lambda pyramid: Trans2Seg(
        keras_pvt.PVTBackbone("pvt_nano", (64, 64, 3)), 5, "P2", 16, depth=1, head_width=8
    ),
}


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".keras"])
@pytest.mark.parametrize("name", MODELS)
def test_of_every_system(name, suffix, tmp_path, monkeypatch):
    """Its classes and names are told without the model, and both lines give the model back."""
    model = perturbed(MODELS[name](keras_pvt.PVTBackbone("pvt_nano")))
    path = tmp_path / f"x{suffix}"
    save_checkpoint(to_torch(model), path) if suffix != ".keras" else model.save(path)
    found = inspect_file(path)
    assert (found.system, found.variant, found.classes) == (name, "pvt_nano", 5)
    assert (found.missing, found.unexpected) == ((), ())
    again = eval(found.python, {"keras_pvt": keras_pvt})
    assert describe(again) == describe(model)
    if suffix != ".keras":
        assert run_shell(found.shell, tmp_path, monkeypatch) == 0
        assert keras.saving.load_model(tmp_path / f"{name}.keras").system == name


def test_what_published_models_have_is_their_default():
    for system in systems.SYSTEMS.values():
        import inspect

        parameters = inspect.signature(system.load("model")).parameters
        assert {name: parameters[name].default for name in system.untold} == dict(system.untold)


def test_missing_and_unexpected(nano, tmp_path, capsys):
    state = dict(to_torch(nano))
    del state["block2.0.norm2.weight"], state["head.bias"]
    state["block9.0.norm1.weight"] = np.ones(3, "float32")
    save_checkpoint(state, tmp_path / "x.npz")
    found = inspect_file(tmp_path / "x.npz")
    assert found.variant == "pvt_nano"
    assert found.missing == ("block2.0.norm2.weight", "head.bias")
    assert found.unexpected == ("block9.0.norm1.weight",)
    rows = info(capsys, tmp_path / "x.npz")
    assert rows["missing"] == "2: block2.0.norm2.weight, head.bias"


def test_half_a_file_is_of_the_nearest_variant(tmp_path):
    state = to_torch(keras_pvt.PVTV2B0(weights=None))
    half = dict(list(state.items())[: len(state) // 2])
    save_checkpoint(half, tmp_path / "x.npz")
    found = inspect_file(tmp_path / "x.npz")
    assert (found.family, found.variant, found.system) == ("pvt_v2", None, "backbone")
    assert set(found.missing) >= {"block4.0.norm1.weight"}
    assert not found.unexpected


def test_a_detector_that_lacks_some(tmp_path):
    model = MODELS["retinanet"](keras_pvt.PVTBackbone("pvt_nano"))
    state = dict(to_torch(model))
    for key in ("bbox_head.retina_reg.bias", "backbone.block1.0.norm1.bias"):
        del state[key]
    save_checkpoint(state | {"extra": np.ones(2)}, tmp_path / "x.npz")
    found = inspect_file(tmp_path / "x.npz")
    assert set(found.missing) == {"bbox_head.retina_reg.bias", "backbone.block1.0.norm1.bias"}
    assert found.unexpected == ("extra",)
    assert found.classes is None  # the anchors are counted by what is missing


def test_widths_of_its_own(tmp_path, capsys):
    model = perturbed(keras_pvt.classifier(TINY))
    save_checkpoint(dict(to_torch(model)), tmp_path / "plain.npz")
    found = inspect_file(tmp_path / "plain.npz")
    assert (found.variant, found.family, found.classes, found.image_size) == (None, "pvt", 7, 64)
    assert found.widths["embed_dims"] == TINY.embed_dims
    assert found.shell is None
    assert "widths of its own" in info(capsys, tmp_path / "plain.npz")["variant"]
    save_checkpoint(to_torch(model), tmp_path / "said.safetensors")
    again = eval(inspect_file(tmp_path / "said.safetensors").python, {"keras_pvt": keras_pvt})
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])


def test_prefix_part_and_writer(nano, tmp_path, capsys):
    state = tensors({f"model.{key}": array for key, array in to_torch(nano).items()})
    content = {
        "pytorch-lightning_version": "2.5.1",
        "state_dict": state | {"loss.weight": torch.ones(2)},
        "state_dict_ema": {key: tensor + 1 for key, tensor in state.items()},
        "hyper_parameters": {"class_names": list(NAMES)},
        "epoch": np.int64(3),
    }
    path = tmp_path / "last.ckpt"
    torch.save(content, path)
    found = inspect_file(path)
    assert (found.part, found.others) == ("state_dict_ema", ("state_dict",))
    assert (found.prefix, found.writer) == ("model.", "PyTorch Lightning 2.5.1")
    assert found.names == NAMES
    assert (found.missing, found.unexpected) == ((), ())
    rows = info(capsys, path, "--which", "state_dict")
    assert rows["state dict"] == "state_dict; others: state_dict_ema (--which)"
    assert rows["prefix"] == "model., which loading takes off"
    assert rows["unexpected"] == "1: loss.weight"
    assert rows["classes"].startswith("10: fish 0, fish 1")


@pytest.mark.parametrize("which", ["state_dict", "state_dict_ema", "ema"])
def test_the_lines_load_the_part_that_was_asked_for(nano, tmp_path, monkeypatch, which):
    monkeypatch.chdir(tmp_path)
    state = tensors(to_torch(nano))
    averaged = {key: tensor + 1 for key, tensor in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": averaged}, "x.pth")
    found = inspect_file("x.pth", which)
    wanted = state if which == "state_dict" else averaged
    model = eval(found.python, {"keras_pvt": keras_pvt})
    np.testing.assert_array_equal(to_torch(model)["head.bias"], wanted["head.bias"])
    assert main(shlex.split(found.shell)[1:]) == 0
    np.testing.assert_array_equal(
        to_torch(keras.saving.load_model("classifier.keras"))["head.bias"], wanted["head.bias"]
    )


def test_names_that_no_head_is_for(nano, tmp_path):
    state = tensors(to_torch(nano))
    state = {key: tensor for key, tensor in state.items() if not key.startswith(("head", "cls_"))}
    torch.save({"state_dict": state, "meta": {"CLASSES": NAMES}}, tmp_path / "x.pth")
    assert inspect_file(tmp_path / "x.pth").note == "it names 10 classes, and has no head for them"


def test_of_a_look_alike(tmp_path, monkeypatch):
    mit = LOOK_ALIKES[0]
    row = dataclasses.replace(mit.config)
    model = perturbed(keras_pvt.PVTBackbone(row))
    save_checkpoint(dict(to_torch(model)), tmp_path / "x.npz")
    found = inspect_file(tmp_path / "x.npz")
    assert "MiT-B0" in found.note
    assert found.variant is None
    assert run_shell(found.shell, tmp_path, monkeypatch) == 0
    assert (tmp_path / "mit_b0.keras").exists()
    torch.save({"state_dict": tensors(dict(to_torch(model)))}, tmp_path / "x.pth")
    shell = inspect_file(tmp_path / "x.pth", "state_dict").shell
    assert shell.split()[-2:] == ["--which", "state_dict"]
    assert shell.count("--which") == 1


def test_the_published_file(nano, tmp_path, monkeypatch):
    path = written(nano, tmp_path, ".pth")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert inspect_file(path).published == "not known: no sha256 of pvt_nano was ever published"
    facts = dataclasses.replace(WEIGHTS["pvt_nano", "cifar10"], sha256=digest)
    monkeypatch.setitem(WEIGHTS, ("pvt_nano", "cifar10"), facts)
    assert inspect_file(path).published.startswith('yes: pvt_nano, weights="cifar10"')
    with path.open("ab") as file:
        file.write(b" ")
    save_checkpoint(to_torch(nano), tmp_path / "other.npz")
    assert inspect_file(tmp_path / "other.npz").published == f"no: that of pvt_nano is {digest}"
    assert inspect_file(tmp_path / "other.npz", hashed=False).published is None


def test_a_trained_model(nano, tmp_path, capsys):
    keras_pvt.save_model(nano, tmp_path / "x.keras", NAMES)
    found = inspect_file(tmp_path / "x.keras")
    assert (found.task, found.names, found.trained_size) == ("classification", NAMES, (32, 32))
    assert (found.images, found.gives) == (
        "normalised by keras_pvt.preprocess_input", "probabilities",
    )  # fmt: skip
    assert eval(found.python, {"keras_pvt": keras_pvt}).classes == NAMES


FOREIGN = {
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "a web page": b"<!DOCTYPE html><html></html>",
    "nothing": b"",
    "half a zip": b"PK\x03\x04" + bytes(200),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_file_is_one_line(case, tmp_path, capsys):
    path = tmp_path / "x.bin"
    path.write_bytes(FOREIGN[case])
    assert main(["info", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith(f"error: {path}: ")
    assert "keras-pvt info" not in line  # it would point to itself


def test_a_file_that_is_not_there(capsys):
    assert main(["info", "absent.pth"]) == 1
    assert capsys.readouterr().err == "error: there is no file 'absent.pth'.\n"


def test_of_another_network(tmp_path, capsys):
    torch.save({"resnet.conv1.weight": torch.ones(3)}, tmp_path / "x.pth")
    rows = info(capsys, tmp_path / "x.pth")
    assert "no names of a PVT: 'resnet.conv1.weight'" in rows["note"]
    assert "variant" not in rows


def test_what_moves_the_cursor_is_not_printed(tmp_path, capsys):
    torch.save({"\x1b[2J\nsystem": torch.ones(3)}, tmp_path / "x.pth")
    assert main(["info", str(tmp_path / "x.pth")]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out


def test_a_hostile_pickle_is_refused(tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'trace'}",)

    torch.save({"w": torch.ones(1), "x": Evil()}, tmp_path / "x.pth")
    assert main(["info", str(tmp_path / "x.pth")]) == 1
    assert "nothing is run" in capsys.readouterr().err
    assert not (tmp_path / "trace").exists()


def test_json_and_which_are_for_files(capsys):
    assert main(["info", "pvt_tiny", "--json"]) == 1
    assert "are for files" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [".pth", ".bfloat16.safetensors"])
def test_neither_keras_nor_a_backend_is_imported(nano, tmp_path, kind):
    command = shutil.which("keras-pvt", path=os.path.dirname(sys.executable))
    path = written(nano, tmp_path, kind)
    _, modules = run_and_list([command, "info", path])
    loaded = {name.split(".")[0] for name in modules}
    assert "keras_pvt" in loaded
    assert not loaded & {"keras", "torch", "jax", "tensorflow", "h5py", "rich", "PIL"}


def test_a_large_file_is_told_in_a_second(tmp_path):
    """300 MB, sha256 included, of processor time beyond what is imported."""
    model = keras_pvt.PVTV2B5(weights=None)
    path = tmp_path / "b5.npz"
    save_checkpoint(to_torch(model), path)
    assert path.stat().st_size > 300e6
    inspect_file(path, hashed=False)
    start = time.process_time()
    assert inspect_file(path).variant == "pvt_v2_b5"
    assert time.process_time() - start < 1


@pytest.mark.parametrize("how", ["damaged", "misfit", "unknown", "asked"])
def test_every_error_of_loading_points_to_it(nano, tmp_path, how, capsys):
    path = tmp_path / "x.npz"
    pointer = "`keras-pvt info FILE` says what a file is"
    if how == "damaged":
        path.write_bytes(b"PK\x03\x04")
        with pytest.raises(CheckpointError) as raised:
            read_checkpoint(path)
        assert str(raised.value).rstrip(")").endswith(pointer)
    elif how == "misfit":
        save_checkpoint(to_torch(nano), path)
        with pytest.raises(CheckpointError) as raised:
            load_checkpoint(keras_pvt.classifier(TINY), path)
        assert str(raised.value).rstrip(")").endswith(pointer)
    else:
        state = (
            {"w": np.ones(3)}
            if how == "unknown"
            else to_torch(MODELS["retinanet"](keras_pvt.PVTBackbone("pvt_nano")))
        )
        save_checkpoint(state, path)
        for words in (["convert", path, tmp_path / "y.npz"], ["export", path, "--format", "onnx"]):
            assert main(list(map(str, words))) == 1
            assert pointer in capsys.readouterr().err
