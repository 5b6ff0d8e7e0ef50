"""What the trainers share: the batch that fits the data, what is said of it."""

import threading
import time
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from keras_pvt.recipes.files import load
from keras_pvt.training.distribution import Strategy
from keras_pvt.training.trainer import fit_batch, opened

pytestmark = pytest.mark.one_backend("counts images")


@pytest.mark.parametrize(
    ("images", "batch", "devices", "expected", "left_out"),
    [
        (48, 32, 1, 24, 0),  # of two batches, 16 images would be left out
        (60, 32, 1, 30, 0),
        (7, 16, 1, 7, 0),
        (7, 16, 2, 6, 1),
        (7, 5, 1, 3, 1),
        (205, 2, 1, 2, 1),  # as BCCD has them: left as it is
        (50000, 128, 1, 128, 80),
        (30, 25, 1, 25, 5),  # a sixth
        (32, 25, 1, 16, 0),  # 7 of 32 are more than a fifth
        (125, 100, 1, 100, 25),  # just a fifth
    ],
)
def test_the_batch_fits_the_data(images, batch, devices, expected, left_out):
    trainer = types.SimpleNamespace(
        recipe=load("finetune", batch_size=batch),
        strategy=types.SimpleNamespace(devices=devices),
    )
    said = fit_batch(trainer, images)
    assert trainer.recipe.batch_size == expected
    assert (f" instead of {batch}" in said) == (expected != batch)
    assert (f"{left_out} images are left out of each epoch" in said) == (left_out > 0)


def test_fewer_images_than_devices():
    trainer = types.SimpleNamespace(
        recipe=load("finetune"), strategy=types.SimpleNamespace(devices=8)
    )
    with pytest.raises(ValueError, match="7 training images make no batch for 8 devices"):
        fit_batch(trainer, 7)


def test_the_size_is_that_of_the_variant():
    assert load("finetune").side == 32
    assert load("finetune", variant="pvt_small").side == 224
    assert load("finetune", variant="pvt_small", size="96").side == 96


class Threads(Strategy):
    """Stands in for one of four processes: a thread."""

    processes = 4

    def __init__(self, process, together):
        self.process, self.together = process, together

    def barrier(self):
        self.together.wait(timeout=20)

    def gathered(self, numbers):
        self.together.seen[self.process] = numbers
        self.barrier()
        return np.array([self.together.seen[process] for process in range(4)])


class Reader:
    """Stands in for a trainer whose data are lines of a file, which are to be written first."""

    def __init__(self, strategy, file, missing):
        self.strategy, self.file, self.missing = strategy, file, missing
        self.classes = ["a", "b"]

    def fetch(self):
        if self.file.exists():
            return
        with self.file.open("a") as file:
            for n in range(30):
                file.write(f"{self.strategy.process} {n}\n")
                file.flush()
                time.sleep(0.001)

    def open(self, in_memory):
        lines = self.file.read_text().splitlines()
        return len(lines) - self.missing, sum(line.startswith("0 ") for line in lines)


def open_four(folder, missing=0):
    """What four processes see, or their errors; the last one misses some images."""
    together = threading.Barrier(4)
    together.seen = {}

    def one(process):
        own = missing if process == 3 else 0
        try:
            return opened(Reader(Threads(process, together), folder / "lines", own))
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, range(4)))


def test_the_chief_writes_and_all_see_the_same(tmp_path):
    assert open_four(tmp_path) == [(30, 30)] * 4


def test_processes_that_see_different_data_end(tmp_path):
    errors = open_four(tmp_path, missing=1)
    assert set(errors) == {
        "the processes see different data: process 0 sees 30 images to train on and 30 to validate "
        "on, of 2 classes, process 3 sees 29 images to train on and 30 to validate on, of 2 "
        "classes; give all of them the same files, by names in the same order."
    }


def test_an_error_of_the_chief_is_met_by_all(tmp_path):
    assert all("No such file" in str(error) for error in _absent(tmp_path))


def _absent(folder):
    together = threading.Barrier(4)

    def one(process):
        with pytest.raises(OSError, match="No such file") as raised:
            opened(Reader(Threads(process, together), folder / "absent" / "lines", 0))
        return raised.value

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, range(4)))
