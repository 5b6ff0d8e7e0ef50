"""`keras-pvt train` of detectors and segmenters survives kill -9 at a random moment, to the bit.

test_train.py has classifiers.
"""

import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import small_recipes
from safetensors.numpy import load_file

from keras_pvt import training
from keras_pvt.cli import main

EPOCHS = 4
SYSTEMS = {
    "retinanet": {"epochs": EPOCHS, "evaluate_every": 1},
    "mask_rcnn": {"epochs": EPOCHS, "evaluate_every": 1},
    "detr": {"epochs": EPOCHS, "evaluate_every": 1},
    "semantic_fpn": {"steps": 2 * EPOCHS, "evaluate_every": 2},
    "trans2seg": {"steps": 2 * EPOCHS, "evaluate_every": 2},
}
# What Trans2Seg keeps for official checkpoints only has no gradient.
UNUSED = pytest.mark.filterwarnings("ignore:Gradients do not exist for variables:UserWarning")


@UNUSED
@pytest.mark.full("a run, one that is killed, and one that goes on")
@pytest.mark.one_backend("test_train.py kills a run on each")
@pytest.mark.parametrize("system", SYSTEMS)
def test_kill_9_changes_no_bit(system, tmp_path, capsys):
    recipe = small_recipes.small(system, drop_path=0.2, warm_up=0.5, **SYSTEMS[system])
    file = small_recipes.write(recipe, tmp_path / "data")
    killed, whole = (tmp_path / name for name in ("killed", "whole"))
    words = ["train", str(file), "--backend-strategy=none", "--out"]
    moment = kill([*words, str(killed)])
    capsys.readouterr()
    assert main([*words, str(killed)]) == 0
    assert re.search("resuming after epoch [123]", capsys.readouterr().out), moment
    assert main([*words, str(whole)]) == 0
    same_run(killed, whole, moment)


def kill(words) -> str:
    """Start a run, and kill it in the epoch after the second, or in its validation."""
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "keras_pvt.cli", *words],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        for line in process.stdout:
            if line.startswith(f"epoch 2/{EPOCHS}"):
                break
        seconds = float(re.search(r"\bseconds ([\d.e-]+)", line)[1])
        delay = random.uniform(0, seconds)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    return f"killed {delay:.3f} s after an epoch of {seconds:.3f} s"


def same_run(out, other, moment):
    """Weights, the optimizer's state and the log are the same, to the bit."""
    name = f"epoch-{EPOCHS:04}.safetensors"
    states = [load_file(folder / "checkpoints" / name) for folder in (out, other)]
    assert states[0].keys() == states[1].keys()
    for key, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][key], err_msg=f"{key}, {moment}")
    logs = [training.read_history(folder / "history.csv") for folder in (out, other)]
    for rows in zip(*logs, strict=True):
        ours, theirs = (
            {name: value for name, value in row.items() if "second" not in name} for row in rows
        )
        np.testing.assert_equal(ours, theirs, err_msg=moment)
