"""`keras-pvt convert`: files of every kind, and what it refuses."""

import argparse

import keras
import numpy as np
import pytest
from conftest import assert_same, perturb

import keras_pvt
from keras_pvt.cli import convert as command
from keras_pvt.conversion import (
    read_checkpoint,
    save_checkpoint,
    to_torch,
)
from keras_pvt.variants import VARIANTS

pytestmark = pytest.mark.one_backend("moves arrays of weights")

# PVTNano is the smallest variant that the command can name.


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    model = keras_pvt.classifier("pvt_nano")
    perturb(model)
    path = tmp_path_factory.mktemp("nano") / "nano.pth"
    save_checkpoint(to_torch(model), path)
    return path


def run(*words) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([*map(str, words)]))


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pth", ".weights.h5", ".keras"])
def test_writes_every_kind(tmp_path, nano, suffix, capsys):
    dest = tmp_path / f"x{suffix}"
    assert run(nano, dest) == 0
    said = capsys.readouterr().out
    assert "pvt_nano" in said
    assert "read back and equal" in said
    assert [path.name for path in tmp_path.iterdir()] == [dest.name]
    assert run(dest, tmp_path / "back.safetensors") == 0
    assert_same(read_checkpoint(tmp_path / "back.safetensors"), read_checkpoint(nano))


def test_layout_and_dtype(tmp_path, nano):
    dest = tmp_path / "x.safetensors"
    assert run(nano, dest, "--layout", "huggingface", "--dtype", "bfloat16") == 0
    written = read_checkpoint(dest)
    assert written["classifier.bias"].dtype.name == "bfloat16"
    np.testing.assert_allclose(
        written["classifier.bias"].astype("float32"), read_checkpoint(nano)["head.bias"], rtol=2**-8
    )


def test_keeps_resolution_classes_and_channels(tmp_path):
    import dataclasses

    config = dataclasses.replace(VARIANTS["pvt_nano"], image_size=48, classes=3)
    model = keras_pvt.classifier(config, input_shape=(48, 48, 1))
    perturb(model)
    save_checkpoint(to_torch(model), tmp_path / "x.npz")
    assert run(tmp_path / "x.npz", tmp_path / "y.keras") == 0
    again = keras.saving.load_model(tmp_path / "y.keras")
    assert again.input_shape == (None, 48, 48, 1)
    assert_same(to_torch(again), to_torch(model))


def test_takes_a_pyramid(tmp_path, nano):
    trunk = {
        k: a for k, a in read_checkpoint(nano).items() if not k.startswith(("cls", "norm", "head"))
    }
    save_checkpoint(trunk, tmp_path / "x.npz")
    assert run(tmp_path / "x.npz", tmp_path / "y.npz") == 0
    assert read_checkpoint(tmp_path / "y.npz").keys() == trunk.keys()


def test_compares_before_it_writes(tmp_path, nano, monkeypatch):
    from keras_pvt import conversion

    monkeypatch.setattr(
        conversion, "cast", lambda state, dtype: {k: a + np.float32(1e-3) for k, a in state.items()}
    )
    with pytest.raises(ValueError, match="differs from the source"):
        run(nano, tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []


def test_errors(tmp_path, nano):
    with pytest.raises(ValueError, match="the suffix must be one of"):
        run(nano, tmp_path / "x.onnx")
    with pytest.raises(ValueError, match="not for Keras's"):
        run(nano, tmp_path / "x.keras", "--dtype", "float16")
    np.savez(tmp_path / "odd.npz", w=np.zeros(3, "float32"))
    with pytest.raises(ValueError, match="name one with --variant"):
        run(tmp_path / "odd.npz", tmp_path / "x.npz")
    with pytest.raises(FileNotFoundError):
        run(tmp_path / "none.pth", tmp_path / "x.npz")
