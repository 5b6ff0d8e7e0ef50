"""How training is spread over devices, as far as one device in one process shows it."""

import contextlib
import re

import keras
import pytest

from keras_pvt.training import distribution
from keras_pvt.training.distribution import selection, strategy

BACKEND = keras.backend.backend()
FOREIGN = {name: owner for name, owner in selection.BACKENDS.items() if owner != BACKEND}


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """No other process, whatever started the tests."""
    for name in ("WORLD_SIZE", "KERAS_DISTRIBUTION_NUM_PROCESSES", "TPU_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["auto", "none"])
def test_one_device_needs_no_strategy(name):
    chosen = distribution.choose(name)
    assert (chosen.name, chosen.devices, chosen.process, chosen.processes) == ("none", 1, 0, 1)
    assert chosen.chief
    model = keras.Sequential([keras.layers.Dense(1)])
    assert chosen.replicate(model) is model
    assert isinstance(chosen.scope(), contextlib.AbstractContextManager)
    assert chosen.share({"loss": 1.5}, weight=3) == {"loss": 1.5}
    assert chosen.check_batch(13) == 13
    chosen.barrier()
    chosen.close()


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match=r"no strategy 'fast'; there are auto, none, data-para"):
        distribution.choose("fast")


@pytest.mark.parametrize("name", FOREIGN)
def test_a_strategy_of_another_backend_is_refused(name):
    owner = FOREIGN[name]
    with pytest.raises(ValueError, match=rf"of {owner}, and .* {BACKEND}.*KERAS_BACKEND={owner}"):
        distribution.choose(name)


@pytest.mark.parametrize(
    ("size", "nearest"), [(1020, "1016 or 1024"), (1025, "1024 or 1032"), (5, "8")]
)
def test_a_batch_has_to_divide(size, nearest):
    eight = strategy.Strategy()
    eight.devices, eight.processes = 8, 2
    with pytest.raises(ValueError, match=re.escape(f"{size} does not") + f".* has {nearest}\\."):
        eight.check_batch(size)
    assert eight.check_batch(1024) == 512


@pytest.mark.parametrize("size", [0, -8, 8.0, True, None])
def test_a_batch_is_a_number_of_samples(size):
    with pytest.raises(ValueError, match="integer of at least 1"):
        distribution.choose("none").check_batch(size)


def test_seeds_are_varied_the_same_again():
    from keras_pvt.training.distribution.strategy import varied

    assert varied([7, 3], 0).tolist() == [7, 3]
    others = {tuple(varied([7, 3], number)) for number in range(1, 100)}
    assert len(others) == 99
    assert all(0 <= seed < 2**31 and draws == 3 for seed, draws in others)
    assert varied([7, 3], 5).tolist() == varied([7, 3], 5).tolist()
