"""Seeds that differ by device, made of those that are the same on all."""

import keras
import numpy as np


def seed_states(model: keras.Model) -> list[keras.Variable]:
    """The states `[seed, draws so far]` of a model's seed generators."""
    return [v for v in model.variables if v.path.endswith("seed_generator_state")]


def varied(state: np.ndarray, number: int) -> np.ndarray:
    """The state of a seed generator for one device; the first keeps its own.

    Keras's draws on torch depend on the sum of seed and number of draws, so that seeds close to
    one another would give the same draws some steps later.

    Args:
        state: integers `(2,)`, of the first device.
        number: of the device, from 0.
    """
    seed, draws = (int(value) for value in state)
    if number:
        seed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0]) >> 1  # an int32
    return np.array([seed, draws])
