"""Damaged checkpoints of every kind: an error of ours or a whole load, quickly and in little
memory, and never half a load."""

import argparse
import contextlib
import json
import os
import pathlib
import resource
import time

import keras
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import keras_pvt
from keras_pvt import inspect_file
from keras_pvt.conversion import (
    CheckpointError,
    cast,
    load_checkpoint,
    save_checkpoint,
    to_torch,
)
from keras_pvt.variants import PVTConfig

pytestmark = pytest.mark.one_backend("reads arrays")

SMALL = PVTConfig(
    depths=(1, 1, 1, 1),
    embed_dims=(2, 2, 2, 2),
    num_heads=(1, 1, 1, 1),
    mlp_ratios=(1, 1, 1, 1),
    sr_ratios=(1, 1, 1, 1),
    patch_sizes=(4, 2, 2, 2),
    image_size=32,
    classes=2,
)
# For each kind of file; KERAS_PVT_EXAMPLES=2000 tries more by hand.
EXAMPLES = int(os.environ.get("KERAS_PVT_EXAMPLES", "200"))
KINDS = (
    "zip", "legacy", "safetensors", "npz", "compressed npz", "h5",
    "bfloat16", "training", "old training", "keras", "list", "shard",
)  # fmt: skip
# Of those that are read together.
NAMES = {"list": "x.safetensors.index.json", "shard": "shard0.safetensors"}
SECONDS = 5.0  # of computing: how long others keep the processor is no matter
MEMORY = 512 * 2**20

# Where bytes are changed: anywhere, or near an end, where the structure lies.
edits = st.lists(
    st.tuples(
        st.sampled_from(["set", "flip", "insert", "delete", "cut", "copy"]),
        st.one_of(st.integers(0, 400), st.integers(-900, -1), st.integers(0, 2**20)),
        st.one_of(
            st.binary(min_size=1, max_size=8),
            st.sampled_from([b"\x00" * 8, b"\xff" * 8, b"\xff\xff\xff\x7f", b"\x00\x00\xc0\x7f"]),
        ),
    ),
    min_size=1,
    max_size=4,
)


def mutate(content: bytes, changes) -> bytes:
    data = bytearray(content)
    for kind, place, patch in changes:
        at = place % max(1, len(data))
        if kind == "set":
            data[at : at + len(patch)] = patch
        elif kind == "flip" and data:
            data[at] ^= 1 << patch[0] % 8
        elif kind == "insert":
            data[at:at] = patch
        elif kind == "delete":
            del data[at : at + len(patch)]
        elif kind == "cut":
            del data[at:]
        else:
            data[at:at] = data[at // 2 : at // 2 + 64]
    return bytes(data)


@contextlib.contextmanager
def little_memory():
    """More address space than now and a bit cannot be had: a blow-up is a MemoryError."""
    status = pathlib.Path("/proc/self/status").read_text()
    now = int(status.split("VmSize:")[1].split()[0]) * 1024
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + MEMORY, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.fixture(scope="module")
def model():
    return keras_pvt.classifier(SMALL)


@pytest.fixture(scope="module")
def originals(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    state = to_torch(model)
    tensors = {key: torch.from_numpy(array) for key, array in state.items()}
    torch.save(tensors, folder / "zip")
    torch.save(tensors, folder / "legacy", _use_new_zipfile_serialization=False)
    save_checkpoint(state, folder / "x.safetensors")
    np.savez(folder / "stored.npz", **state)
    np.savez_compressed(folder / "npz.npz", **state)
    model.save_weights(folder / "x.weights.h5")
    save_checkpoint(cast(state, "bfloat16"), folder / "half.safetensors")
    training = {
        "pytorch-lightning_version": "2.5.1",
        "state_dict": {f"model.{key}": tensor for key, tensor in tensors.items()},
        "meta": {"CLASSES": ("a", "b"), "mmdet_version": "3.3.0"},
        "args": argparse.Namespace(lr=1e-3, best=np.float64(0.5), losses=np.arange(9.0)),
        "device": torch.device("cpu"),
        "epoch": np.int64(3),
    }
    torch.save(training, folder / "training")
    torch.save(training, folder / "old training", _use_new_zipfile_serialization=False)
    model.save(folder / "x.keras")
    weight_map = {}
    for n, key in enumerate(state):
        weight_map[key] = f"shard{n % 2}.safetensors"
    for name in ("shard0.safetensors", "shard1.safetensors"):
        part = {key: state[key] for key, of in weight_map.items() if of == name}
        save_checkpoint(part, folder / name)
    (folder / "x.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return {
        "zip": (folder / "zip").read_bytes(),
        "legacy": (folder / "legacy").read_bytes(),
        "safetensors": (folder / "x.safetensors").read_bytes(),
        "npz": (folder / "stored.npz").read_bytes(),
        "compressed npz": (folder / "npz.npz").read_bytes(),
        "h5": (folder / "x.weights.h5").read_bytes(),
        "bfloat16": (folder / "half.safetensors").read_bytes(),
        "training": (folder / "training").read_bytes(),
        "old training": (folder / "old training").read_bytes(),
        "keras": (folder / "x.keras").read_bytes(),
        "list": (folder / "x.safetensors.index.json").read_bytes(),
        "shard": (folder / "shard0.safetensors").read_bytes(),
        "other shard": (folder / "shard1.safetensors").read_bytes(),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files(kind, model, originals, tmp_path):
    path = read = tmp_path / NAMES.get(kind, "x.pth")
    if kind in NAMES:  # what lies beside it is as it was
        read = tmp_path / NAMES["list"]
        for other, name in (*NAMES.items(), ("other shard", "shard1.safetensors")):
            (tmp_path / name).write_bytes(originals[other])
    outcomes = {"loaded": 0, "refused": 0}
    variables = [(v, np.full(v.shape, 0.25, "float32")) for v in model.variables]
    for variable, blank in variables:
        variable.assign(blank)

    def untouched() -> bool:
        return all(
            np.array_equal(keras.ops.convert_to_numpy(variable.value), blank)
            for variable, blank in variables
        )

    @seed(20210224)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(edits)
    def check(changes):
        path.write_bytes(mutate(originals[kind], changes))
        start = time.process_time()
        try:
            with little_memory():
                load_checkpoint(model, read)
                inspect_file(read)
        except CheckpointError:
            assert untouched()
            with little_memory(), contextlib.suppress(CheckpointError):
                inspect_file(read)  # which tells of what fits no model, too
            outcomes["refused"] += 1
        else:
            values = [keras.ops.convert_to_numpy(variable.value) for variable, _ in variables]
            assert all(np.isfinite(value).all() for value in values)
            assert not any((value == 0.25).all() for value in values)
            outcomes["loaded"] += 1
            for variable, blank in variables:
                variable.assign(blank)
        assert time.process_time() - start < SECONDS

    check()
    assert sum(outcomes.values()) >= EXAMPLES
    assert outcomes["refused"] > EXAMPLES // 5
