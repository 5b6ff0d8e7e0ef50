"""The training examples, each in a trial of two steps, on the engine that it is for."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest
from image_folders import write_images

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
BACKEND = keras.backend.backend()
TRIAL = ["--variant=pvt_nano", "--size=32", "--batch-size=8", "--epochs=1", "--limit-steps=2"]


@pytest.fixture
def data(tmp_path, rng):
    """Three classes, of random pixels."""
    for part, count in (("train", 12), ("val", 5)):
        write_images(
            tmp_path / "data" / part,
            dict.fromkeys("abc", count),
            lambda *_: rng.integers(0, 256, (36, 30, 3)),
        )
    return tmp_path / "data"


def run(*command, **environment):
    """Output of a program that has to succeed."""
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.one_backend("a script around `fit`")
@pytest.mark.full("trains by a script")
def test_finetune_folder(data, tmp_path):
    out = tmp_path / "tuned.keras"
    shown = run(
        EXAMPLES / "finetune_folder.py", data, "--out", out, "--variant=pvt_nano",
        "--weights=cifar10", "--epochs=1", "--batch-size=12",
    )  # fmt: skip
    assert "classes a, b, c" in shown
    assert keras.saving.load_model(out).output_shape == (None, 3)


@pytest.mark.full("starts two processes that train")
@pytest.mark.skipif(BACKEND != "torch", reason="of PyTorch")
def test_torch_gpus(data, tmp_path):
    shown = run(
        "-m", "torch.distributed.run", "--nproc-per-node=2", "--standalone",
        EXAMPLES / "train_torch_gpus.py", "--data", data, "--out", tmp_path / "out", *TRIAL,
    )  # fmt: skip
    assert "on 2 devices (ddp) by torch" in shown
    assert shown.count("results in") == 1
    assert (tmp_path / "out" / "model.keras").exists()


@pytest.mark.full("starts a process that trains")
@pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow")
def test_tensorflow_mirrored(data, tmp_path):
    two_devices = (
        "import runpy, sys, tensorflow as tf;"
        "device = tf.config.list_physical_devices('CPU')[0];"
        "half = tf.config.LogicalDeviceConfiguration();"
        "tf.config.set_logical_device_configuration(device, [half, half]);"
        "sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    shown = run(
        "-c", two_devices, EXAMPLES / "train_tensorflow_mirrored.py",
        "--data", data, "--out", tmp_path / "out", *TRIAL,
    )  # fmt: skip
    assert "on 2 devices (mirrored) by tensorflow" in shown
    assert (tmp_path / "out" / "model.keras").exists()


def start_two(arguments):
    """Two processes of the example for pods, as on two hosts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        subprocess.Popen(
            [sys.executable, "-u", EXAMPLES / "train_jax_tpu_pod.py", *map(str, arguments)],
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "JAX_CPU_COLLECTIVES_IMPLEMENTATION": "gloo",
                "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
                "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
                "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]


@pytest.mark.full("starts two processes that train, twice")
@pytest.mark.skipif(BACKEND != "jax", reason="of JAX")
def test_tpu_pod(data, tmp_path):
    """One of two hosts is lost midway: the other ends with a word, and both go on afterwards."""
    out = tmp_path / "out"
    arguments = ["--data", data, "--out", out, *TRIAL, "--epochs=3"]
    chief, other = start_two(arguments)
    with chief, other:
        for line in chief.stdout:
            if line.startswith("epoch 1/3"):
                break
        other.send_signal(signal.SIGKILL)
        _, errors = chief.communicate(timeout=120)
    assert chief.returncode == 1, errors
    said = [line for line in errors.splitlines() if line.startswith("error in process 0 of 2: ")]
    assert len(said) == 1, errors
    assert "rerun the command in all processes" in said[0]
    assert not (out / "model.keras").exists()

    chief, other = start_two(arguments)
    with chief, other:
        shown, errors = chief.communicate()
        other.communicate()
    assert (chief.returncode, other.returncode) == (0, 0), errors
    assert "on 2 devices (data-parallel) by jax" in shown
    assert re.search("resuming after epoch [12]", shown)
    assert "results in" in shown
    kernel = np.array(keras.saving.load_model(out / "model.keras").get_layer("head").kernel)
    assert np.isfinite(kernel).all()
