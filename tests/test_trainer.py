"""What the trainers share: the batch that fits the data, what is said of it."""

import types

import pytest

from keras_pvt.recipes.files import load
from keras_pvt.training.trainer import fit_batch

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
